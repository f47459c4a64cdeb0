package testkit

import (
	"context"
	"fmt"
	"sync"

	"github.com/pion/webrtc/v4"
)

// Caller is a client with media both ways, over one connection: it publishes as a Publisher does, and keeps what it gets as a Player does.
type Caller struct {
	*Publisher
	Player *Player
}

// NewCaller makes a caller.
func NewCaller(cfg PublisherConfig) *Caller {
	return &Caller{Publisher: NewPublisher(cfg), Player: NewPlayer(PlayerConfig{})}
}

// Call offers, connects, sends and keeps what comes, as Publisher.Run does.
func (c *Caller) Call(ctx context.Context, exchange Exchange) error {
	return c.both(ctx, func(ctx context.Context, pc *webrtc.PeerConnection) error { return Negotiate(ctx, pc, exchange) })
}

// Answer answers an offer, whose answer it gives to accept. Then it does the same as Call.
func (c *Caller) Answer(ctx context.Context, offer string, accept func(answer string) error) error {
	return c.both(ctx, func(_ context.Context, pc *webrtc.PeerConnection) error {
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err != nil {
			return fmt.Errorf("offer: %w", err)
		}
		answer, err := pc.CreateAnswer(nil)
		if err != nil {
			return err
		}
		gathered := webrtc.GatheringCompletePromise(pc)
		if err := pc.SetLocalDescription(answer); err != nil {
			return err
		}
		<-gathered
		return accept(pc.LocalDescription().SDP)
	})
}

func (c *Caller) both(ctx context.Context, negotiate func(context.Context, *webrtc.PeerConnection) error) error {
	var reading sync.WaitGroup
	defer reading.Wait()
	return c.run(ctx, webrtc.RTPTransceiverDirectionSendrecv, func(ctx context.Context, pc *webrtc.PeerConnection) error {
		c.Player.note(func() { c.Player.pc = pc })
		pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
			reading.Go(func() { c.Player.readReports(t.Kind().String(), r) })
			c.Player.read(t)
		})
		return negotiate(ctx, pc)
	})
}
