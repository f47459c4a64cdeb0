package udp

import "testing"

func FuzzParseControl(f *testing.F) {
	f.Add(make([]byte, controlSize))
	f.Add([]byte{28, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if c := parseControl(b); c.to.IsValid() && len(b) < 28 {
			t.Errorf("%v of %d bytes", c.to, len(b))
		}
	})
}
