package leg

import (
	"sync"
	"time"

	"transponder/internal/media"
)

// SoundPlayer plays a file in the form of the phone's sound, as soundfile.Player does. Replace gets a packet of silence, and returns it with
// the next piece of the file in its place, or with an error at the end. It must not block.
type SoundPlayer interface {
	Replace(media.Frame) (media.Frame, error)
	Close()
}

// maxBehind: if sending is later than this, what was not sent is left out.
const maxBehind = 100 * time.Millisecond

// voice sends the sound of one leg: packet after packet, at the pace of the RTP clock. Each packet holds a piece of a digit, of a file, of the
// played stream, or of silence. Silence is sent because phones and PBXs end calls without sound, and because it keeps a NAT open.
//
// The ticker of Legs calls beat. All other methods may be called from any goroutine.
type voice struct {
	out *out

	// Owned by the ticker.
	begun   bool
	running bool          // the last beat found that we send
	due     time.Duration // of the next packet
	time    uint32        // RTP time of the next packet
	marker  bool          // the next packet of sound follows a pause
	eventAt uint32        // RTP time of the beginning of the digit

	mu     sync.Mutex
	terms  soundTerms  // guarded by mu
	digits digitWriter // guarded by mu
	queue  soundQueue  // guarded by mu
	file   SoundPlayer // guarded by mu
	closed bool        // guarded by mu: no file is played any more
}

// agree sets how sound is sent. Queued sound that does not fit any more is dropped.
func (v *voice) agree(t soundTerms) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !t.same(v.terms) {
		v.queue.clear()
	}
	v.terms = t
	if t.events == nil {
		v.digits.drop()
	}
}

// sendDigits queues digits.
func (v *voice) sendDigits(text string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.terms.on || v.terms.events == nil {
		return ErrNoEvents
	}
	digits, err := parseDigits(text, v.terms.events.HasEvent)
	if err != nil {
		return err
	}
	return v.digits.push(digits)
}

// play sets the file that is played, and closes the one before.
func (v *voice) play(file SoundPlayer) {
	v.mu.Lock()
	unused := v.file
	if v.closed {
		unused = file
	} else {
		v.file = file
	}
	v.mu.Unlock()
	if unused != nil {
		unused.Close()
	}
}

// push adds sound of the played stream, which must have the codec of the terms.
func (v *voice) push(codec media.Codec, p piece) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.terms.on && codec == v.terms.codec {
		v.queue.push(p)
	}
}

// silence forgets the sound of the played stream.
func (v *voice) silence() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.queue.clear()
}

// beat sends what is due. It returns why the file has ended, if it has.
func (v *voice) beat(now time.Duration) (ended error) {
	for {
		p, file, ok := v.next(now)
		if !ok {
			return ended
		}
		if file != nil {
			if f, err := file.Replace(p.silent); err == nil {
				p.payload = f.Data
			} else if v.over(file) {
				ended = err
			}
		}
		if p.payload != nil {
			v.out.write(p.outgoing, now)
		}
	}
}

// over ends a file; it returns false if another one has replaced it.
func (v *voice) over(file SoundPlayer) bool {
	v.mu.Lock()
	same := v.file == file
	if same {
		v.file = nil
	}
	v.mu.Unlock()
	file.Close()
	return same
}

// step is a packet that is due.
type step struct {
	outgoing             // without a payload: a pause
	silent   media.Frame // what a file replaces
}

// next returns the packet that is due, and the file that its payload comes from, if any. It is not ok if nothing is due.
func (v *voice) next(now time.Duration) (s step, file SoundPlayer, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	t := &v.terms
	if !t.on {
		v.running = false
		return step{}, nil, false
	}
	if !v.begun {
		v.begun, v.due, v.time = true, now, random32()
	}
	if !v.running {
		v.running, v.marker = true, true
	}
	late := now - v.due
	switch {
	case late < 0:
		return step{}, nil, false
	case late > maxBehind:
		v.due += late
		v.time += t.units(late)
		late = 0
	}
	s.outgoing = outgoing{number: t.number, time: v.time, clock: t.clock, wall: time.Now().Add(-late)}
	length := t.length
	if t.events != nil && v.digits.busy() {
		length = digitStep
		v.event(&s)
	} else {
		s.marker, v.marker = v.marker, false
		s.payload, s.silent, file = t.silent.Data, t.silent, v.file
		if p, ok := v.queue.pop(); ok && file == nil {
			s.payload, s.wall, length = p.payload, p.wall, p.length
		}
	}
	v.due += length
	v.time += t.units(length)
	return s, file, true
}

// event makes a packet of the packet of a digit. mu is held.
func (v *voice) event(s *step) {
	payload, start := v.digits.next(v.terms.events.Codec.Clock)
	v.marker = true
	if start {
		v.eventAt = s.time
	}
	s.number, s.marker, s.time, s.wall, s.payload = v.terms.events.Number, start, v.eventAt, time.Time{}, payload
}

// close ends the file, and every file that is to be played later.
func (v *voice) close() {
	v.mu.Lock()
	file := v.file
	v.file, v.closed = nil, true
	v.mu.Unlock()
	if file != nil {
		file.Close()
	}
}
