package leg

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/rtc"
)

// countsAllocations is false under the race detector, where sync.Pool drops items at random.
var countsAllocations = true

// film makes the packets of a frame, ten of them.
func (c *camera) film(s *socket, packets rtc.Packetizer) (list [][]byte) {
	payloads := packets.Payloads(c.frame(true, 9000))
	for i, payload := range payloads {
		list = append(list, s.packet(97, i == len(payloads)-1, payload))
	}
	s.time += 3000
	return list
}

// TestMemory: a packet needs no memory on the way to the stream, and a frame needs its bytes once. Nothing that is sent needs memory.
func TestMemory(t *testing.T) {
	p := newLine(t)
	p.answer()
	p.audio.rtp(0, false, 'a')
	p.received(t, media.Audio, 1)
	c, packets := newCamera(t), rtc.NewPacketizer(rtc.PacketizerConfig{Codec: media.H264, NoSTAPA: true})
	const runs, warm = 200, 300
	var all [][][]byte
	for range runs + warm + 1 {
		all = append(all, c.film(p.video, packets))
	}
	from := p.video.addr()
	now := time.Duration(p.clock.Load())
	frame := func() {
		p.leg.mu.Lock()
		defer p.leg.mu.Unlock()
		now += 33 * time.Millisecond
		for _, b := range all[0] {
			p.leg.datagram(&p.leg.video, b, from, false, now)
		}
		all = all[1:]
	}
	for range warm {
		frame()
	}
	p.leg.mu.Lock()
	p.leg.later = nil
	p.leg.mu.Unlock()
	if n := testing.AllocsPerRun(runs, frame); n > 1 && countsAllocations {
		t.Errorf("%v allocations for a frame of %d packets, want 1", n, 10)
	}
	if st := p.stats(media.Video); st.Refused.Total() > 0 || st.Lost > 0 || p.src.Stats().Video.Frames < runs {
		t.Errorf("stats %+v, %d frames", st, p.src.Stats().Video.Frames)
	}
	p.leg.mu.Lock()
	p.leg.audio.reportAt, p.leg.video.reportAt = time.Hour*1000, time.Hour*1000 // reports are made anew each time
	p.leg.mu.Unlock()
	if n := testing.AllocsPerRun(runs, func() { p.pass(20 * time.Millisecond) }); n != 0 && countsAllocations {
		t.Errorf("%v allocations for a packet of silence, want none", n)
	}
}

// TestMemoryOfCall: how much a call holds. The sockets' buffers in the kernel come on top.
func TestMemoryOfCall(t *testing.T) {
	if !countsAllocations {
		t.Skip("the race detector has memory of its own")
	}
	const calls = 20
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc + m.StackInuse)
	}
	legs, clock := newLegs(t, testConfig(), Parts{})
	before := heap()
	var lines []*line
	for range calls {
		p := newLineOf(t, legs, clock)
		p.answer()
		p.video.rtp(97, true, 0x41)
		p.video.seq += 3 // a gap makes the jitter buffer grow
		p.video.rtp(97, true, 0x41)
		p.received(t, media.Video, 2)
		lines = append(lines, p)
	}
	if each := (heap() - before) / calls; each > 300<<10 {
		t.Errorf("%d kB a call", each>>10)
	}
	runtime.KeepAlive(lines)
}

// BenchmarkFrame measures the cost of a frame of ten packets, up to the stream. The one of package lean ends before the stream's frame.
func BenchmarkFrame(b *testing.B) {
	p := newLine(b)
	p.answer()
	c, packets := newCamera(b), rtc.NewPacketizer(rtc.PacketizerConfig{Codec: media.H264, NoSTAPA: true})
	frame := c.film(p.video, packets)
	from, now := p.video.addr(), time.Duration(p.clock.Load())
	seq, at := p.video.seq, p.video.time
	b.ReportAllocs()
	for b.Loop() {
		p.leg.mu.Lock()
		now += 33 * time.Millisecond
		for _, x := range frame {
			binary.BigEndian.PutUint16(x[2:], seq)
			binary.BigEndian.PutUint32(x[4:], at)
			seq++
			p.leg.datagram(&p.leg.video, x, from, false, now)
		}
		at += 3000
		p.leg.mu.Unlock()
	}
}

// FuzzDatagram: after any datagrams, of the phone or of a stranger, on either port, the phone's sound still gets through.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte{0x80, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xff}, true, false)
	f.Add([]byte{0x80, 101, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 5, 0x8a, 3, 0x20}, true, false)
	f.Add([]byte{0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6}, true, true)
	f.Add([]byte{0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2}, true, true)
	f.Add([]byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, false, false)
	p := newLine(f)
	p.answer()
	good := p.audio.packet(0, false, []byte{1})
	f.Fuzz(func(t *testing.T, b []byte, ours, overRTCP bool) {
		from := p.audio.addr()
		if !ours {
			from = netip.MustParseAddrPort("203.0.113.9:5000")
		}
		before := p.leg.Stats()
		p.leg.mu.Lock()
		now := time.Duration(p.clock.Add(int64(20 * time.Millisecond)))
		for _, track := range p.leg.tracks() {
			p.leg.datagram(track, slices.Clone(b), from, overRTCP, now)
		}
		p.leg.datagram(&p.leg.audio, slices.Clone(good), p.audio.addr(), false, now)
		p.leg.unlock()
		after := p.leg.Stats()
		got := after.Audio.Packets - before.Audio.Packets
		if got < 1 || got > 2 || !ours && got != 1 || p.legs.Panics() > 0 {
			t.Errorf("%d packets of sound were taken; %d panics", got, p.legs.Panics())
		}
	})
}
