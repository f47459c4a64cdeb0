package pion

import (
	"errors"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
)

// closeLimit is how long a PeerConnection may take to close. A healthy one takes some milliseconds.
const closeLimit = 5 * time.Second

// errStuck says that a PeerConnection did not close in time.
var errStuck = errors.New("the WebRTC connection cannot be closed and is given up")

// closeSettled closes a PeerConnection gracefully, after pion has done the operations that wait in its queue.
//
// Close of pion v4.2.26 blocks for ever if it comes between the end of the DTLS handshake and the next operation, which starts the readers
// of RTCP: DTLSTransport.Stop holds the lock that this operation needs, and waits for the SRTCP session, which waits for a reader. Pion tells
// of the end of its queue only by OnNegotiationNeeded, so a transceiver is added that nobody negotiates.
func closeSettled(pc *webrtc.PeerConnection) error {
	if pc.ConnectionState() == webrtc.PeerConnectionStateConnected {
		done := make(chan struct{})
		pc.OnNegotiationNeeded(sync.OnceFunc(func() { close(done) }))
		if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio); err == nil {
			limit := time.NewTimer(time.Second)
			defer limit.Stop()
			select {
			case <-done:
			case <-limit.C: // closeConnection limits what follows
			}
		}
	}
	return pc.GracefulClose()
}

// closeConnection closes a PeerConnection and joins its readers. One that does not close is given up after closeLimit, counted and
// logged; its goroutines stay.
func (e *Endpoint) closeConnection(close func() error, readers *sync.WaitGroup) error {
	closed := make(chan error, 1)
	go func() {
		err := close()
		readers.Wait()
		closed <- err
	}()
	limit := time.NewTimer(closeLimit)
	defer limit.Stop()
	select {
	case err := <-closed:
		return err
	case <-limit.C:
		e.stuck.Add(1)
		e.log.Error("WebRTC connection does not close and is given up", "after", closeLimit)
		return errStuck
	}
}

// Stuck returns how many connections were given up because they could not be closed.
func (e *Endpoint) Stuck() int64 { return e.stuck.Load() }
