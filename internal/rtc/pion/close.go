package pion

import (
	"errors"
	"sync"
	"time"
)

// closeLimit is how long a PeerConnection may take to close. A healthy one takes some milliseconds.
const closeLimit = 5 * time.Second

// errStuck says that a PeerConnection did not close in time.
var errStuck = errors.New("the WebRTC connection cannot be closed and is given up")

// closeConnection closes a PeerConnection and joins its readers. Close of pion v4.2.26 may block for ever:
// DTLSTransport.Stop holds a lock that the SRTCP session needs to hand over a packet that came before anybody reads RTCP.
// Such a connection is given up after closeLimit, counted and logged; its goroutines stay.
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
