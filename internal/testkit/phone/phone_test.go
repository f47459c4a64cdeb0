package phone

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"transponder/internal/testkit"
)

// Two phones call each other over each transport. The callee's sound, picture and digits reach the caller as they were sent.
func TestCall(t *testing.T) {
	for _, transport := range []string{"udp", "tcp", "tls"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			certificate, roots := selfSigned(t)
			caller := New(t, Config{Transport: transport, Certificate: certificate, RootCAs: roots})
			callee := New(t, Config{Transport: transport, Certificate: certificate})
			audio, video := NewStream(t), NewStream(t)
			d := caller.Calling(callee.URI("bob"), callee.Addr())
			d.Send("INVITE", "", Offer(audio, video))
			invite := callee.Await("INVITE")
			callee.Reply(invite, Reply{Code: 180})
			c := callee.Accept(invite, Plan{Audio: NewStream(t), Video: NewStream(t)})
			d.Await("180 INVITE")
			answer := d.Await("200 INVITE")
			d.Confirm(answer, "")
			c.Await("ACK")

			sound := &Sound{Type: c.AudioType, Events: c.Events, SSRC: 7, Payload: Tone(440, false, nil)}
			defer c.Audio.Play(sound, Reports{Every: 100 * time.Millisecond})()
			picture := &Picture{Type: c.VideoType, SSRC: 8, FPS: 50, Units: testkit.SyntheticUnits(10, 3000)}
			defer c.Video.Play(picture, Reports{})()
			audio.Wait("a quarter second of sound", func() bool { return len(audio.Packets()) > 12 })
			video.Wait("ten pictures", func() bool { return len(video.Packets()) > 40 })
			judgeTone(t, audio.Packets())
			judgePictures(t, video.Packets(), picture)
			sound.Press("1#")
			audio.Wait("the digits", func() bool { d := Digits(audio.Packets(), c.Events); return len(d) == 2 && d[1].Ends == 3 })
			for i, digit := range Digits(audio.Packets(), c.Events) {
				if digit.Key != "1#"[i] || digit.Updates != 4 || digit.Duration != 800 || !digit.Marker || !digit.Regular || digit.WithSound {
					t.Errorf("digit %d is %+v", i, digit)
				}
			}
			if len(audio.Control()) == 0 {
				t.Error("no sender report came")
			}
			d.Send("BYE", "", "")
			callee.Reply(c.Await("BYE"), Reply{Code: 200})
			d.Await("200 BYE")
		})
	}
}

func judgeTone(t *testing.T, packets []Packet) {
	t.Helper()
	if err := Judge(packets, 101, 160, time.Second); err != nil {
		t.Error(err)
	}
	if hz, level := Pitch(PCM(packets), 8000); hz < 438 || hz > 442 || level < 0.45 || level > 0.55 {
		t.Errorf("the tone has %.1f Hz and a level of %.2f, want 440 and 0.5", hz, level)
	}
}

func judgePictures(t *testing.T, packets []Packet, sent *Picture) {
	t.Helper()
	came, err := Pictures(packets, 97)
	if err != nil || len(came) == 0 {
		came, err = Pictures(packets, 96)
	}
	if err != nil || len(came) < 2 {
		t.Fatalf("%d pictures: %v", len(came), err)
	}
	for i, c := range came[:len(came)-1] { // the last one may not be whole
		if want := sent.Sent()[i].NALs; !bytes.Equal(bytes.Join(c.NALs, nil), bytes.Join(want, nil)) {
			t.Errorf("picture %d differs", i)
		}
	}
}

// Messages that break the rules are told apart, and a repeated request gets the same response without another turn.
func TestInbox(t *testing.T) {
	caller, callee := New(t, Config{}), New(t, Config{})
	d := caller.Calling(callee.URI("bob"), callee.Addr())
	caller.SendRaw(callee.Addr(), []byte("INVITE sip:bob SIP/2.0\r\n\r\n"))
	d.Send("OPTIONS", "", "")
	r := callee.Await("OPTIONS")
	callee.Reply(r, Reply{Code: 486})
	d.Await("4xx OPTIONS")
	caller.SendRaw(callee.Addr(), []byte(r.Raw))
	testkit.Eventually(t, 5*time.Second, func() string {
		if n := caller.Count("486 OPTIONS"); n != 2 {
			return fmt.Sprintf("%d responses", n)
		}
		return ""
	})
	if n := len(callee.Pending()); n != 0 || len(callee.Faults()) != 1 || callee.Count("OPTIONS") != 2 {
		t.Errorf("%d messages wait; the phone received\n%s", n, callee.Story())
	}
}

// A refused INVITE is acknowledged in its transaction.
func TestRefusal(t *testing.T) {
	caller, callee := New(t, Config{}), New(t, Config{})
	d := caller.Calling(callee.URI("bob"), callee.Addr())
	branch := d.Send("INVITE", "", Offer(NewStream(t), nil))
	callee.Reply(callee.Await("INVITE"), Reply{Code: 486})
	if ack := callee.Await("ACK"); param(ack.Header("Via"), "branch") != branch || ack.Tag("To") == "" {
		t.Errorf("the ACK is %q, want the branch %s", ack.Raw, branch)
	}
}

func TestG711(t *testing.T) {
	for code := range 256 {
		b := byte(code)
		if got := EncodeULaw(DecodeULaw(b)); got != b && b != 0x7f { // 0x7f is minus zero
			t.Errorf("mu-law %#x becomes %#x", b, got)
		}
		if got := EncodeALaw(DecodeALaw(b)); got != b {
			t.Errorf("A-law %#x becomes %#x", b, got)
		}
	}
	if EncodeULaw(0) != 0xff || EncodeALaw(0) != 0xd5 {
		t.Errorf("silence is %#x and %#x, want 0xff and 0xd5", EncodeULaw(0), EncodeALaw(0))
	}
	if EncodeULaw(-1) != 0x00 || EncodeULaw(1) != 0x80 || EncodeALaw(-1) != 0x2a || EncodeALaw(1) != 0xaa {
		t.Error("full scale is wrong")
	}
}

// The example of RFC 7616, 3.9.1, and a wrong password.
func TestLogin(t *testing.T) {
	const example = `Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm=MD5, ` +
		`nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", ` +
		`qop=auth, response="8ca523f5e9506fed4657c9700eebdbec"`
	l := Login{
		Realm: "http-auth@example.org", Nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", User: "Mufasa", Password: "Circle of Life",
		QOP: true,
	}
	m := &Message{Method: "GET", URI: "/dir/index.html", Raw: "GET /dir/index.html SIP/2.0\r\nAuthorization: " + example + "\r\n\r\n"}
	if err := l.Check(m); err != nil {
		t.Error(err)
	}
	l.Password = "other"
	if err := l.Check(m); err == nil {
		t.Error("a wrong password is taken")
	}
}

// Sound makes events that share the sequence numbers of the sound, and goes on where it would have been.
func TestPress(t *testing.T) {
	s := &Sound{Events: 101, Seq: 65534, Start: 1000, Payload: func(int) []byte { return []byte{1} }}
	s.Press("9")
	var got []string
	for at := time.Duration(0); at < 9*packetTime; {
		packets, again := s.Next(at, false)
		for _, p := range packets {
			got = append(got, fmt.Sprintf("%d:%d/%d %x", p.Seq, p.Type, p.Time, p.Payload))
		}
		at = again
	}
	want := "65534:101/1000 090a00a0, 65535:101/1000 090a0140, 0:101/1000 090a01e0, 1:101/1000 090a0280, 2:101/1000 098a0320, " +
		"3:101/1000 098a0320, 4:101/1000 098a0320, 5:0/2120 01, 6:0/2280 01"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}

func TestDelayed(t *testing.T) {
	d := delayed{network: func(n int, _ Packet) (copies, after int) {
		return []int{1, 0, 1, 2}[n%4], []int{0, 0, 2, 0}[n%4]
	}}
	var got []uint16
	for seq := range uint16(6) {
		for _, p := range d.pass(Packet{Seq: seq}) {
			got = append(got, p.Seq)
		}
	}
	if want := "[0 3 3 2 4]"; fmt.Sprint(got) != want {
		t.Errorf("packets %v, want %v", got, want)
	}
}

// selfSigned makes a certificate for 127.0.0.1.
func selfSigned(t *testing.T) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}
