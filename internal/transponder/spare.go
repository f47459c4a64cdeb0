package transponder

import (
	"slices"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
)

const (
	// spareReserve is how much media before the time of a stall is kept of the next source, so that its sound and pictures cover the stall.
	spareReserve = 500 * time.Millisecond
	// sparePast is the most media that is kept. A group of pictures that is longer is not kept: the push then waits for its next key frame.
	sparePast = 12 * time.Second
	// spareFrames bounds the frames that are kept, whatever their times are. Their bytes have the bound of a reader's queue.
	spareFrames = 4096
	// closeBy is how near a key frame must be to the place where it is to follow, so that nothing is shown faster because of it.
	closeBy = 150 * time.Millisecond
	// hurried is the time between two pictures that are sent faster than they were made.
	hurried = time.Millisecond
)

// spare reads the source to which a push changes next. It keeps the latest media, from a key frame on: so the push can change at once, and
// what it sends for the time of a stall is the media of that time. The times are on the clock of the push. A spare belongs to one goroutine.
type spare struct {
	src             *stream.Source
	reader          *stream.Reader
	video, sound    *stream.Feed
	releaseSound    func()
	releasePictures func() // nil: the pictures are the source's own

	shift time.Duration // from the clock of the source to that of the push
	keep  time.Duration // how much is kept at least
	begun time.Time
	asked time.Time // when a key frame was last asked for

	frames []media.Frame
	bytes  int
	read   [64]media.Frame // scratch
}

// drain takes what has come. now is the time on the clock of the push.
func (s *spare) drain(now media.Timestamp) {
	for {
		n, _ := s.reader.TryRead(s.read[:]) // an error means that the source has ended, which the holder sees
		for _, f := range s.read[:n] {
			f.Time = f.Time.Add(s.shift)
			s.frames = append(s.frames, f)
			s.bytes += len(f.Data)
		}
		clear(s.read[:n])
		if n < len(s.read) {
			break
		}
	}
	s.trim(now)
}

// trim forgets what is not needed any more.
func (s *spare) trim(now media.Timestamp) {
	begin := 0 // the first frame that is kept
	from := now.Add(-s.keep)
	pictures := false
	for i, f := range s.frames {
		if f.Kind() != media.Video {
			continue
		}
		pictures = true
		if f.Key && (f.Time <= from || s.over(s.frames[begin:], now)) {
			begin = i
		}
	}
	if !pictures {
		begin = max(slices.IndexFunc(s.frames, func(f media.Frame) bool { return f.Time > from }), 0)
	}
	s.cut(begin)
	if s.over(s.frames, now) { // there is one group of pictures, and it is too long
		s.frames = slices.DeleteFunc(s.frames, func(f media.Frame) bool { return f.Kind() == media.Video || f.Time <= from })
		s.bytes = size(s.frames)
		s.reader.Restart()
	}
}

// over reports whether frames are more than a spare keeps.
func (s *spare) over(frames []media.Frame, now media.Timestamp) bool {
	return len(frames) > spareFrames || s.bytes > stream.DefaultMaxBytes || len(frames) > 0 && now.Sub(frames[0].Time) > sparePast+s.keep
}

// cut forgets the first n frames.
func (s *spare) cut(n int) {
	s.bytes -= size(s.frames[:n])
	s.frames = slices.Delete(s.frames, 0, n)
}

func size(frames []media.Frame) int {
	n := 0
	for _, f := range frames {
		n += len(f.Data)
	}
	return n
}

// ask asks for a key frame, at most once a second.
func (s *spare) ask(now time.Time) {
	if now.Sub(s.asked) >= time.Second {
		s.asked = now
		s.video.RequestKeyFrame()
	}
}

// codec returns the codec of the pictures, CodecNone if none has come yet.
func (s *spare) codec() media.Codec {
	for _, f := range s.frames {
		if f.Kind() == media.Video {
			return f.Track.Codec
		}
	}
	return media.CodecNone
}

// blind reports whether the source sends no pictures, so that its sound is sent alone.
func (s *spare) blind(now time.Time) bool {
	st := s.src.Video.Stats()
	if st.Frames == 0 {
		return !s.src.HasVideo() || s.src.LiveFor() >= videoWait && now.Sub(s.begun) >= videoWait
	}
	return st.Missing
}

// key returns the index of the key frame with which the source can follow pictures that end at a time, -1 if there is none. It is the first
// key frame after that time if it is close, or else the latest one before, or else the first.
func (s *spare) key(after func(media.Frame) media.Timestamp) int {
	best := -1
	for i, f := range s.frames {
		if f.Kind() != media.Video || !f.Key {
			continue
		}
		due := after(f)
		switch {
		case best < 0 || f.Time < due:
			best = i
		case s.frames[best].Time < after(s.frames[best]) && f.Time.Sub(due) <= closeBy:
			return i
		default:
			return best
		}
	}
	return best
}

// splice returns the frames with which the source follows pictures and sound that were sent before: pictures from a key frame on, and
// sound from a time on. after returns the earliest time that a key frame can get. The pictures that come earlier are moved together behind
// that time, so that a decoder has all that later pictures refer to.
func (s *spare) splice(after func(media.Frame) media.Timestamp, sound media.Timestamp) []media.Frame {
	first := s.key(after)
	var spliced []media.Frame
	for i, f := range s.frames {
		if f.Kind() == media.Audio && f.Time >= sound || f.Kind() == media.Video && first >= 0 && i >= first {
			spliced = append(spliced, f)
		}
	}
	if first >= 0 {
		hurry(spliced, after(s.frames[first]))
	}
	return spliced
}

// hurry moves the pictures that come before a time behind it. They keep their order and get as much time as there is until the first picture
// that need not move, at least hurried each.
func hurry(frames []media.Frame, from media.Timestamp) {
	var pictures []int
	for i, f := range frames {
		if f.Kind() == media.Video {
			pictures = append(pictures, i)
		}
	}
	moved := 0
	for moved < len(pictures) && frames[pictures[moved]].Time < from.Add(time.Duration(moved)*hurried) {
		moved++
	}
	if moved == 0 {
		return
	}
	until := from.Add(time.Duration(moved) * hurried)
	if moved < len(pictures) {
		until = frames[pictures[moved]].Time
	}
	w := warp{to: until}
	for n := range moved {
		w.old = append(w.old, frames[pictures[n]].Time)
		w.new = append(w.new, from.Add(until.Sub(from)*time.Duration(n)/time.Duration(moved)))
	}
	for _, i := range pictures {
		f := &frames[i]
		shown := w.at(f.Time.Add(f.Delay))
		f.Time = w.at(f.Time)
		f.Delay = max(shown.Sub(f.Time), 0)
	}
}

// warp maps times to other times. The order stays. Times from `to` on stay as they are.
type warp struct {
	old, new []media.Timestamp // of the pictures that move, growing
	to       media.Timestamp
}

func (w warp) at(t media.Timestamp) media.Timestamp {
	if t >= w.to {
		return t
	}
	i, exact := slices.BinarySearch(w.old, t)
	switch {
	case exact:
		return w.new[i]
	case i == 0:
		return w.new[0]
	}
	// Between two pictures that move, or between the last of them and the end.
	a, b, c, d := w.old[i-1], w.to, w.new[i-1], w.to
	if i < len(w.old) {
		b, d = w.old[i], w.new[i]
	}
	if b <= a {
		return d
	}
	return c + media.Timestamp(float64(t-a)/float64(b-a)*float64(d-c))
}

// close stops reading.
func (s *spare) close() {
	s.reader.Close()
	if s.releaseSound != nil {
		s.releaseSound()
	}
	if s.releasePictures != nil {
		s.releasePictures()
	}
}
