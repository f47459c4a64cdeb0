package sound

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

// wakeFrames is how many frames of silence are made at a time, so that a silent source costs few wake-ups.
const wakeFrames = 2

// holdMargin is added to the lateness of a packet when the hold grows.
const holdMargin = 20 * time.Millisecond

// render converts the sound of a source until ctx or the source ends. The source runs it in a goroutine.
func (a *Transcoder) render(ctx context.Context, s *stream.Source, want wanted, out *stream.Feed) error {
	reader := s.NewReader(stream.ReaderConfig{Audio: s.Audio})
	defer reader.Close()
	m, end := a.begin(s)
	defer end()

	log := a.log.With("stream", s.Info().Name, "output", want.make.Codec)
	r := &rendition{audio: a, want: want, log: log, src: s, reader: reader, out: out, meter: m, hold: a.cfg.Hold}
	log.Info("audio rendition started")
	began := time.Now()
	err := r.run(ctx)
	log.Info("audio rendition ended", "err", err, "duration", time.Since(began), "stats", m.get())
	return err
}

// rendition converts the sound of one source to one format. The goroutine of run owns it.
type rendition struct {
	audio  *Transcoder
	want   wanted
	log    *slog.Logger
	src    *stream.Source
	reader *stream.Reader
	out    *stream.Feed
	meter  *meter

	batch   [16]media.Frame
	pending []media.Frame // of batch, not handled yet
	alarm   *alarm

	packets int64
	relayed int64
	hold    time.Duration
	warned  time.Time // when the log last said that a track cannot be decoded
	aligner *aligner
	pack    *packager
}

// run passes the frames on while the source sends the wanted format, and encodes from the first frame that has another one.
func (r *rendition) run(ctx context.Context) error {
	r.alarm = newAlarm(ctx)
	defer r.alarm.stop()

	start := r.src.Now()
	if err := r.first(); err != nil {
		return err
	}
	switch {
	case len(r.pending) > 0 && r.want.passes(r.pending[0].Track):
		next, err := r.relay()
		if err != nil {
			return err
		}
		start = next
	case !r.audio.cfg.AddSilence:
		start = r.pending[0].Time
	}

	enc, err := r.audio.newEncoder(r.want.make)
	if err != nil {
		return fmt.Errorf("make %v: %w", r.want.make.Codec, err)
	}
	defer enc.Close()
	r.pack = newPackager(enc, r.want.make, r.out, start)
	// The first packet holds the delay of the encoder. The sound begins after it.
	sound := start.Add(media.Samples(int64(enc.Delay()), r.want.make.SampleRate))
	r.aligner = newAligner(newTape(sound, r.pack.step, r.pack.frame), r.decoder)
	defer r.aligner.close()
	return r.encode()
}

// first waits for the first packet if that decides whether an encoder is needed: the source has not sent any yet, or has
// begun to send the wanted format. It also waits if nothing may be sent before the first packet.
func (r *rendition) first() error {
	switch t := r.src.Audio.Track(); {
	case !r.audio.cfg.AddSilence:
		r.alarm.unset()
		return r.read()
	case t == nil && !r.src.HasAudio():
		return nil
	case t != nil && !r.want.passes(t):
		return nil
	}
	r.alarm.set(r.audio.cfg.FirstPacket)
	if err := r.read(); err != nil && !errors.Is(err, errDue) {
		return err
	}
	return nil
}

// relay passes frames on unchanged. When a frame of another format comes, it returns the time from which sound must be
// encoded.
func (r *rendition) relay() (media.Timestamp, error) {
	r.alarm.unset()
	var next media.Timestamp
	for {
		for i, f := range r.pending {
			if !r.want.passes(f.Track) {
				r.pending = r.pending[i:]
				return max(next, r.pending[0].Time), nil
			}
			next = f.Time.Add(time.Nanosecond) // timestamps grow
			r.packets++
			r.relayed++
			r.out.Write(f)
		}
		r.report()
		if err := r.read(); err != nil {
			return 0, err
		}
	}
}

// encode encodes the packets as they come, and fills the gaps when they do not come.
func (r *rendition) encode() error {
	for {
		for _, f := range r.pending {
			if err := r.packet(f); err != nil {
				return err
			}
		}
		r.alarm.set(r.due())
		r.report()
		switch err := r.read(); {
		case errors.Is(err, errDue):
			if err := r.makeUp(); err != nil {
				return err
			}
		case err != nil:
			return err
		}
	}
}

// decoder opens a decoder for the aligner. If there is none, it logs that at most once a second.
func (r *rendition) decoder(t *media.Track) (decoder, error) {
	dec, err := r.audio.newDecoder(t)
	if err != nil && time.Since(r.warned) > time.Second {
		r.warned = time.Now()
		r.log.Warn("audio cannot be decoded, silence takes its place", "codec", t.Codec, "err", err)
	}
	return dec, err
}

// packet adds a packet to the tape. If the packet comes after its place was filled, the hold grows.
func (r *rendition) packet(f media.Frame) error {
	r.packets++
	now := r.src.Now()
	trimmed := r.aligner.stats.Trimmed
	if err := r.aligner.packet(f, now); err != nil {
		return err
	}
	if late := now.Sub(f.Time) + holdMargin; r.aligner.stats.Trimmed > trimmed && late > r.hold {
		r.hold = min(late, r.audio.cfg.MaxHold)
	}
	return nil
}

// due returns how long the tape needs no packets. There is no hold before the first packet.
func (r *rendition) due() time.Duration {
	d := r.aligner.tape.end().Sub(r.src.Now()) + media.Samples(int64(wakeFrames*r.pack.step), sampleRate)
	if r.aligner.heard {
		d += r.hold
	}
	return d
}

// makeUp fills the tape up to the hold. The hold shrinks slowly while no packet is late.
func (r *rendition) makeUp() error {
	until := r.src.Now()
	if r.aligner.heard {
		until = until.Add(-r.hold)
		r.hold = max(r.audio.cfg.Hold, r.hold-r.hold/64)
	}
	if n := r.aligner.tape.until(until); n > 0 {
		return r.aligner.makeUp(n)
	}
	return nil
}

// read waits for packets. It fails with errDue when the alarm goes off.
func (r *rendition) read() error {
	n, err := r.reader.Read(r.alarm.ctx, r.batch[:])
	r.pending = r.batch[:n]
	return err
}

func (r *rendition) report() {
	st := Stats{Renditions: 1, PacketsIn: r.packets, FramesOut: r.relayed, Hold: r.hold}
	if r.aligner != nil {
		made := r.aligner.stats
		made.Renditions, made.PacketsIn, made.Hold = st.Renditions, st.PacketsIn, st.Hold
		made.FramesOut, made.FramesMade = r.relayed+r.pack.packets, r.pack.packets
		made.FramesReused = r.pack.reused
		if e, pair := r.pack.enc.(interface {
			Mono() (packets, changes int64)
		}); pair {
			made.FramesMono, made.Changes = e.Mono()
		}
		made.DriftPPM = -1e6 * r.aligner.drift.rate
		st = made
	}
	r.meter.set(st)
}
