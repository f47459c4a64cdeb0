package sound

import (
	"encoding/binary"
	"errors"
	"time"

	"transponder/internal/media"
	"transponder/internal/transcode/sound/soundtest"
)

var errFake = errors.New("fake codec")

// fakeTrack is the track of fake packets.
var fakeTrack = &media.Track{Codec: media.PCMU, SampleRate: sampleRate, Channels: 1}

// fakeHz and fakeLevel describe the endless tone that fake packets are parts of.
const (
	fakeHz    = 200
	fakeLevel = 0.5
)

// fakePeriod is one period of the tone.
var fakePeriod = soundtest.Tone(fakeHz, fakeLevel, time.Second/fakeHz)

// fakePacket is so many samples of the tone, from a sample on.
func fakePacket(from, n int) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(from)), uint64(n))
}

// fakeDecoder decodes fake packets; others are errors.
type fakeDecoder struct {
	delay  int
	closed bool
}

func (d *fakeDecoder) Decode(pcm []float32, packet []byte) (int, error) {
	if len(packet) != 16 {
		return 0, errFake
	}
	from, n := int(binary.BigEndian.Uint64(packet)), int(binary.BigEndian.Uint64(packet[8:]))
	pcm = pcm[:channels*n]
	for at := channels * from % len(fakePeriod); len(pcm) > 0; at = 0 {
		pcm = pcm[copy(pcm, fakePeriod[at:]):]
	}
	return n, nil
}

func (d *fakeDecoder) Delay() int { return d.delay }
func (d *fakeDecoder) Close()     { d.closed = true }

// fakeConcealer is a fakeDecoder that hides every loss, with sound at a quarter of full scale.
type fakeConcealer struct{ fakeDecoder }

func (d *fakeConcealer) Conceal(pcm []float32, n int) (int, error) {
	n -= n % 120
	for i := range 2 * n {
		pcm[i] = 0.25
	}
	return n, nil
}

func (d *fakeConcealer) Recover(pcm []float32, n int, _ []byte) (int, error) {
	return d.Conceal(pcm, n+60)
}

// dtxDecoder is a fakeConcealer that takes packets of one byte for 20 ms of background noise.
type dtxDecoder struct{ fakeConcealer }

func (d *dtxDecoder) Decode(pcm []float32, packet []byte) (int, error) {
	if len(packet) == 1 {
		return d.Conceal(pcm, 960)
	}
	return d.fakeConcealer.Decode(pcm, packet)
}

// fakeEncoder makes a packet of each frame, one frame late: the frame's loudest sample in percent.
type fakeEncoder struct {
	last   []byte
	frames int
	fail   bool
}

func (e *fakeEncoder) FrameSize() int { return 1024 }
func (e *fakeEncoder) Delay() int     { return 1024 }
func (e *fakeEncoder) Config() []byte { return []byte{0x11, 0x90} }
func (e *fakeEncoder) Close()         {}

func (e *fakeEncoder) Encode(pcm []float32) ([]byte, error) {
	if e.fail && e.frames == 10 {
		return nil, errFake
	}
	e.frames++
	out := e.last
	var peak float32
	for _, x := range pcm {
		peak = max(peak, x, -x)
	}
	e.last = []byte{byte(100 * peak)}
	return out, nil
}

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }
