package rtmp

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/amf0"

	"transponder/internal/amf"
)

func TestParseFourCCs(t *testing.T) {
	for _, c := range []struct {
		name   string
		value  any
		has    string // of hvc1, av01, Opus
		offers fourCCs
	}{
		{"nothing", amf.Object{{Name: "fmsVer", Value: "FMS/3"}}, "", nil},
		{"no object", "text", "", nil},
		{"list", amf.Object{{Name: "fourCcList", Value: amf.StrictArray{"hvc1", 1.0, "Opus"}}},
			"hvc1 Opus", fourCCs{"hvc1", "Opus"}},
		{"all", amf.Object{{Name: "fourCcList", Value: amf.StrictArray{"*"}}}, "hvc1 av01 Opus", fourCCs{"*"}},
		{"list that is none", amf.Object{{Name: "fourCcList", Value: "hvc1"}}, "", nil},
		{"maps", amf.ECMAArray{
			{Name: "videoFourCcInfoMap", Value: amf.Object{{Name: "av01", Value: 1.0}, {Name: "hvc1", Value: 0.0}}},
			{Name: "audioFourCcInfoMap", Value: amf.ECMAArray{{Name: "Opus", Value: 4.0}}},
		}, "av01 Opus", fourCCs{"av01", "Opus"}},
	} {
		got := parseFourCCs(c.value)
		if !slices.Equal(got, c.offers) {
			t.Errorf("%s: %q, want %q", c.name, got, c.offers)
		}
		for _, fourCC := range []string{"hvc1", "av01", "Opus"} {
			if got.has(fourCC) != strings.Contains(c.has, fourCC) {
				t.Errorf("%s: has %s: %v", c.name, fourCC, got.has(fourCC))
			}
		}
	}
}

// TestOffers connects our client to our server, with and without Enhanced RTMP.
func TestOffers(t *testing.T) {
	for _, c := range []struct {
		name  string
		offer []string
		want  bool
	}{
		{"plain", nil, false},
		{"enhanced", []string{"hvc1", "Opus"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ours, theirs := connect(t)
			who := make(chan Connect, 1)
			during(t, func() error {
				s := NewServerConn(theirs, nil)
				if err := s.Handshake(); err != nil {
					return err
				}
				w, err := s.Accept()
				who <- w
				return err
			})
			client := NewClient(ours, ClientConfig{App: "live", FourCC: c.offer})
			for _, step := range []func() error{client.Handshake, client.Connect} {
				if err := step(); err != nil {
					t.Fatal(err)
				}
			}
			w := <-who
			if w.Offers("hvc1") != c.want || w.Offers("Opus") != c.want || w.Offers("av01") {
				t.Errorf("the client offers %q, want %q", w.offered, c.offer)
			}
			if client.Offers("hvc1") != c.want || client.Offers("vp09") != c.want || client.Offers("vp08") {
				t.Errorf("the server offers %q", client.offered)
			}
		})
	}
}

func TestOffersToForeignServer(t *testing.T) {
	ours, theirs := connect(t)
	during(t, func() error {
		c := NewClient(ours, ClientConfig{App: "live", TCURL: "rtmp://h/live", FourCC: []string{"hvc1", "Opus"}, Reconnect: true})
		if err := c.Handshake(); err != nil {
			return err
		}
		_ = c.Connect() // is not answered
		return nil
	})
	s := &gortmplib.ServerConn{RW: theirs}
	if err := s.Initialize(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	if want := (amf0.StrictArray{"hvc1", "Opus"}); !reflect.DeepEqual(s.FourCcList, want) {
		t.Errorf("the foreign server reads %v, want %v", s.FourCcList, want)
	}
}

// TestConnectObject holds what is sent beyond plain RTMP, and that nothing is unless it is wanted.
func TestConnectObject(t *testing.T) {
	plain := NewClient(nil, ClientConfig{}).connectObject()
	rich := NewClient(nil, ClientConfig{FourCC: []string{"hvc1", "Opus"}, Reconnect: true}).connectObject()
	want := amf.Object{
		{Name: "fourCcList", Value: amf.StrictArray{"hvc1", "Opus"}},
		{Name: "videoFourCcInfoMap", Value: amf.Object{{Name: "hvc1", Value: 4.0}}},
		{Name: "audioFourCcInfoMap", Value: amf.Object{{Name: "Opus", Value: 4.0}}},
		{Name: "capsEx", Value: 1.0},
	}
	if len(rich) < len(plain) || !reflect.DeepEqual(rich[:len(plain)], plain) || !reflect.DeepEqual(rich[len(plain):], want) {
		t.Errorf("connect says\n%v, want\n%v and\n%v", rich, plain, want)
	}
}

func TestResolve(t *testing.T) {
	const present = "rtmp://h:1936/live/one?a=b"
	for _, c := range []struct{ tcURL, present, want string }{
		{"", "rtmp://h/a b?%zz", "rtmp://h/a b?%zz"},
		{"rtmps://other/x?y", present, "rtmps://other/x?y"},
		{"//other:1937/x", present, "rtmp://other:1937/x"},
		{"/x/y", present, "rtmp://h:1936/x/y"},
		{"two?c=d", present, "rtmp://h:1936/live/two?c=d"},
		{"/x", "rtmp://[2001:db8::1]/live", "rtmp://[2001:db8::1]/x"},
		{"%zz", present, ""},
		{"mailto:x", present, ""},
		{"/x", "%zz", ""},
	} {
		got, err := (&ReconnectError{TCURL: c.tcURL}).Resolve(c.present)
		if got != c.want || (c.want == "") != errors.Is(err, ErrProtocol) {
			t.Errorf("%q from %q: %q, %v; want %q", c.tcURL, c.present, got, err, c.want)
		}
	}
}

// FuzzResolve holds that what a peer asks for is an address of some scheme, or refused.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{"", "rtmps://h/x", "//h/x", "/x", "x?y", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, tcURL string) {
		got, err := (&ReconnectError{TCURL: tcURL}).Resolve("rtmp://h/live")
		if err == nil && !strings.Contains(got, "://") {
			t.Errorf("%q became %q", tcURL, got)
		}
	})
}
