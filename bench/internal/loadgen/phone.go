package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"transponder/bench/internal/mono"
)

// The payload types that a phone answers with. H.264 has the number of the offer.
const opusType = 111

const answerTimeout = 15 * time.Second

// phone is a SIP phone on 127.0.0.1 that takes one call and sends RTP without encryption.
type phone struct {
	p      *Publisher
	signal *net.UDPConn
	audio  *phoneTrack
	video  *phoneTrack
	server netip.AddrPort // of SIP messages
	invite *sipMessage
	tag    string
}

// phoneTrack sends and receives on a pair of ports.
type phoneTrack struct {
	rtp, rtcp *net.UDPConn
	number    uint8
	to        netip.AddrPort
	buf       []byte
}

// WriteRTP sends a packet.
func (t *phoneTrack) WriteRTP(p *rtp.Packet) error {
	p.PayloadType, p.SSRC = t.number, uint32(t.to.Port())
	if need := p.MarshalSize(); cap(t.buf) < need {
		t.buf = make([]byte, need)
	}
	n, err := p.MarshalTo(t.buf[:cap(t.buf)])
	if err != nil {
		return err
	}
	_, err = t.rtp.WriteToUDPAddrPort(t.buf[:n], t.to)
	return err
}

func (t *phoneTrack) close() {
	t.rtp.Close()
	t.rtcp.Close()
}

// call lets the server call a phone, and sends until ctx ends. The phone then hangs up.
func (p *Publisher) call(ctx context.Context, onAnswer func(context.Context, *Publisher)) (err error) {
	f, err := newPhone(p)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer f.close()
	if err := f.startCall(ctx); err != nil {
		return err
	}
	if err := f.answer(); err != nil {
		return err
	}
	p.answerNS.Store(mono.Now())
	if onAnswer != nil {
		wg.Go(func() { onAnswer(ctx, p) })
	}
	wg.Go(f.takeMessages)
	wg.Go(func() { p.takeReports(f.video.rtcp) })
	for _, c := range []*net.UDPConn{f.audio.rtp, f.audio.rtcp, f.video.rtp} {
		wg.Go(func() { discard(c) })
	}
	p.connectedNS.Store(mono.Now())
	defer f.hangUp()
	return p.send(ctx, f.video, f.audio)
}

func newPhone(p *Publisher) (*phone, error) {
	f := &phone{p: p, tag: p.name}
	listen := func() (*net.UDPConn, error) {
		return net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	}
	var err error
	if f.signal, err = listen(); err != nil {
		return nil, err
	}
	for _, t := range []**phoneTrack{&f.audio, &f.video} {
		*t = &phoneTrack{}
		var err1, err2 error
		(*t).rtp, err1 = listen()
		(*t).rtcp, err2 = listen()
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *phone) close() {
	f.signal.Close()
	f.audio.close()
	f.video.close()
}

// startCall asks the server to call the phone.
func (f *phone) startCall(ctx context.Context) error {
	body, err := json.Marshal(map[string]string{
		"callId": f.p.name, "callee": "sip:" + f.p.name + "@" + f.signal.LocalAddr().String(), "hasAudio": "true", "hasVideo": "true",
		"toStream": f.p.name, "sipLogin": "bench", "sipDomain": "bench.invalid",
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.p.gen.cfg.CallURL, strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := whipClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("start a call: %s: %.200s", res.Status, text)
	}
	return err
}

// answer waits for the INVITE, and accepts the sound in Opus and the picture in the first H.264 that is offered.
func (f *phone) answer() error {
	b := make([]byte, 1<<16)
	if err := f.signal.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	for f.invite == nil {
		n, from, err := f.signal.ReadFromUDPAddrPort(b)
		if err != nil {
			return fmt.Errorf("wait for the INVITE: %w", err)
		}
		if m := parseSIP(string(b[:n])); m.method == "INVITE" {
			f.invite, f.server = m, from
		}
	}
	if err := f.signal.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	f.audio.number = opusType
	for _, m := range strings.Split("\n"+f.invite.body, "\nm=")[1:] {
		fields := strings.Fields(m)
		port, err := strconv.ParseUint(fields[1], 10, 16)
		if err != nil {
			return fmt.Errorf("the port of %q: %w", fields, err)
		}
		t := f.audio
		if fields[0] == "video" {
			t = f.video
			number, err := strconv.ParseUint(fields[3], 10, 7)
			if err != nil {
				return fmt.Errorf("the types of %q: %w", fields, err)
			}
			t.number = uint8(number)
		}
		t.to = netip.AddrPortFrom(f.server.Addr(), uint16(port))
	}
	if !f.audio.to.IsValid() || !f.video.to.IsValid() {
		return fmt.Errorf("the offer has not both sound and picture: %q", f.invite.body)
	}
	_, err := f.signal.WriteToUDPAddrPort([]byte(f.response(f.invite, f.sdp())), f.server)
	return err
}

// sdp is the answer of the phone.
func (f *phone) sdp() string {
	port := func(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"+
		"m=audio %d RTP/AVP %d\r\na=rtcp:%d\r\na=rtpmap:%d opus/48000/2\r\n"+
		"m=video %d RTP/AVP %d\r\na=rtcp:%d\r\na=rtpmap:%d H264/90000\r\na=fmtp:%d profile-level-id=42e01f;packetization-mode=1\r\n"+
		"a=rtcp-fb:* nack pli\r\na=sendonly\r\n",
		port(f.audio.rtp), opusType, port(f.audio.rtcp), opusType,
		port(f.video.rtp), f.video.number, port(f.video.rtcp), f.video.number, f.video.number)
}

// takeMessages answers every further request until the phone is closed.
func (f *phone) takeMessages() {
	b := make([]byte, 1<<16)
	for {
		n, from, err := f.signal.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		m := parseSIP(string(b[:n]))
		body := ""
		switch m.method {
		case "", "ACK":
			continue
		case "INVITE":
			body = f.sdp()
		}
		_, _ = f.signal.WriteToUDPAddrPort([]byte(f.response(m, body)), from) // the server repeats its request
	}
}

// response is a 200 to a request.
func (f *phone) response(m *sipMessage, body string) string {
	return "SIP/2.0 200 OK\r\n" + m.headers("via", "record-route", "from", "call-id", "cseq") + "To: " + f.tagged(m.first("to")) + "\r\n" +
		fmt.Sprintf("Contact: <sip:%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", f.signal.LocalAddr(), len(body), body)
}

func (f *phone) tagged(to string) string {
	if strings.Contains(to, ";tag=") {
		return to
	}
	return to + ";tag=" + f.tag
}

// hangUp sends a BYE, once: nothing is measured any more.
func (f *phone) hangUp() {
	target := strings.Trim(f.invite.first("contact"), "<>")
	target, _, _ = strings.Cut(target, ">")
	bye := "BYE " + target + " SIP/2.0\r\nVia: SIP/2.0/UDP " + f.signal.LocalAddr().String() + ";branch=z9hG4bK" + f.tag + "\r\nMax-Forwards: 70\r\n" +
		"From: " + f.tagged(f.invite.first("to")) + "\r\nTo: " + f.invite.first("from") + "\r\nCall-ID: " + f.invite.first("call-id") +
		"\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
	_, _ = f.signal.WriteToUDPAddrPort([]byte(bye), f.server)
}

// takeReports notes requests for key frames until the socket is closed.
func (p *Publisher) takeReports(c *net.UDPConn) {
	b := make([]byte, 2048)
	for {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(b[:n])
		if err != nil {
			continue
		}
		p.takeFeedback(packets)
	}
}

// discard reads until the socket is closed.
func discard(c *net.UDPConn) {
	b := make([]byte, 2048)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// sipMessage is a SIP message, as far as the phone reads it. The server writes each header under its long name, on one line.
type sipMessage struct {
	method string // of a request
	lines  []string
	body   string
}

func parseSIP(text string) *sipMessage {
	head, body, _ := strings.Cut(text, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	m := &sipMessage{lines: lines[1:], body: body}
	if !strings.HasPrefix(lines[0], "SIP/") {
		m.method, _, _ = strings.Cut(lines[0], " ")
	}
	return m
}

// headers returns the lines with these names.
func (m *sipMessage) headers(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		for _, line := range m.lines {
			if key, _, _ := strings.Cut(line, ":"); strings.EqualFold(key, name) {
				b.WriteString(line + "\r\n")
			}
		}
	}
	return b.String()
}

// first returns the value of the first header with a name.
func (m *sipMessage) first(name string) string {
	line, _, _ := strings.Cut(m.headers(name), "\r\n")
	_, value, _ := strings.Cut(line, ":")
	return strings.TrimSpace(value)
}
