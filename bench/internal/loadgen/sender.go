package loadgen

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/pion/rtp"

	"transponder/bench/internal/mono"
	"transponder/bench/internal/source"
)

// rtpWriter sends packets; it sets their SSRC and payload type.
type rtpWriter interface{ WriteRTP(p *rtp.Packet) error }

// send runs the stream's clock: frame k is due k/30 s after the start and audio packet j is due j times 20 ms after it,
// whatever went before.
func (p *Publisher) send(ctx context.Context, videoTrack, audioTrack rtpWriter) error {
	video := videoSender{p: p, track: videoTrack, packet: newPacket(), base: rand.Uint32()}
	audio := audioSender{p: p, track: audioTrack, packet: newPacket(), base: rand.Uint32()}
	start := mono.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		videoDue := start + video.sent*int64(time.Second)/frameRate
		audioDue := start + audio.sent*int64(packetTime)
		timer.Reset(time.Duration(min(videoDue, audioDue) - mono.Now()))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		var err error
		if audioDue <= videoDue {
			err = audio.send()
		} else {
			err = video.send(videoDue)
		}
		if err != nil {
			return err
		}
	}
}

func newPacket() *rtp.Packet {
	return &rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(rand.Uint32())}}
}

type audioSender struct {
	p      *Publisher
	track  rtpWriter
	packet *rtp.Packet
	base   uint32 // RTP time of the first packet
	sent   int64
}

func (a *audioSender) send() error {
	packets := a.p.gen.opus
	a.packet.Payload = packets[a.sent%int64(len(packets))]
	a.packet.Timestamp = a.base + uint32(a.sent)*packetTicks
	a.packet.Marker = a.sent == 0
	if err := a.track.WriteRTP(a.packet); err != nil {
		return err
	}
	a.packet.SequenceNumber++
	a.p.bytes.Add(int64(len(a.packet.Payload)))
	a.sent++
	return nil
}

type videoSender struct {
	p        *Publisher
	track    rtpWriter
	packet   *rtp.Packet
	base     uint32 // RTP time of the first frame
	sent     int64
	position int // in the looped source
	head     []byte
	prevLast int64 // when the last packet of the frame before had been sent
	lastKey  int64
}

// next returns the frame to send: the next one of the source, or the next key frame if one was asked for.
func (v *videoSender) next(now int64) *source.Frame {
	frames := v.p.gen.frames
	if v.p.wantKey.Load() && now-v.lastKey >= int64(keyFrameGap) {
		v.p.wantKey.Store(false)
		if !frames[v.position].Key {
			v.p.forcedKeys.Add(1)
		}
		for !frames[v.position].Key {
			v.position = (v.position + 1) % len(frames)
		}
	}
	frame := &frames[v.position]
	v.position = (v.position + 1) % len(frames)
	if frame.Key {
		v.lastKey = now
	}
	return frame
}

func (v *videoSender) send(due int64) error {
	first := mono.Now()
	frame := v.next(first)
	v.head = frame.HeadPayload(v.head[:0], source.Mark{
		Stream: uint16(v.p.index), Seq: uint32(v.sent), First: first, PrevLast: v.prevLast,
	})
	v.packet.Timestamp = v.base + uint32(v.sent)*frameTicks
	size := len(v.head)
	if err := v.write(v.head, false); err != nil {
		return err
	}
	for i, payload := range frame.Rest {
		size += len(payload)
		if err := v.write(payload, i == len(frame.Rest)-1); err != nil {
			return err
		}
	}
	v.prevLast = mono.Now()
	v.sent++

	v.p.frames.Add(1)
	v.p.bytes.Add(int64(size))
	v.p.mu.Lock()
	defer v.p.mu.Unlock()
	v.p.windowFrames++
	v.p.late = append(v.p.late, float64(first-due)/1e6)
	v.p.burst = append(v.p.burst, float64(v.prevLast-first)/1e6)
	return nil
}

func (v *videoSender) write(payload []byte, marker bool) error {
	v.packet.Payload, v.packet.Marker = payload, marker
	err := v.track.WriteRTP(v.packet)
	v.packet.SequenceNumber++
	return err
}
