package wcs

import "testing"

func TestOutbox(t *testing.T) {
	o := newOutbox(4, 10)
	size := func(n int) []byte { return make([]byte, n) }
	steps := []struct {
		name string
		ok   bool
		want bool
	}{
		{"small", o.put(size(4)), true},
		{"larger than all", o.put(size(1000)), true}, // one always fits
		{"too many bytes", o.put(size(1)), false},
		{"picture beside them", o.putPicture(size(11)), true},
		{"second picture", o.putPicture(size(1)), false},
	}
	for _, s := range steps {
		if s.ok != s.want {
			t.Errorf("%s: taken %t, want %t", s.name, s.ok, s.want)
		}
	}
	if !o.busy() || o.takesPictures() {
		t.Errorf("busy %t, takes pictures %t, want busy and no pictures", o.busy(), o.takesPictures())
	}
	var sizes []int
	for m, ok := o.next(); ok; m, ok = o.next() {
		sizes = append(sizes, len(m.frame))
		if m.picture {
			if o.takesPictures() {
				t.Error("a picture that is being written does not count")
			}
			o.written(m)
		}
	}
	if len(sizes) != 3 || sizes[0] != 4 || sizes[1] != 1000 || sizes[2] != 11 {
		t.Errorf("sizes = %v, want those that were taken, in order", sizes)
	}
	for range 4 {
		if !o.put(size(1)) {
			t.Error("an empty box takes no message")
		}
	}
	if o.put(size(1)) || o.putPicture(size(1)) {
		t.Error("more messages than may wait were taken")
	}
	if !o.takesPictures() {
		t.Error("no pictures are taken though all were written")
	}
}
