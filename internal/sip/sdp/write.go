package sdp

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// SDP writes the description. The text has the keys of a=crypto lines: Redact it before it goes into a log or an answer.
func (s *Session) SDP() string {
	var w writer
	address := s.Address
	if address == "" {
		address = "0.0.0.0"
	}
	w.line("v=0")
	w.line("o=- %s %s %s", s.ID, s.Version, connection(address))
	w.line("s=-")
	if s.Address != "" {
		w.line("c=%s", connection(s.Address))
	}
	w.line("t=0 0")
	for i := range s.Media {
		w.media(&s.Media[i], s.Address)
	}
	return w.String()
}

type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(w, format, args...)
	w.WriteString("\r\n")
}

// media writes a section. All codecs get an a=rtpmap: some phones want one for PCMU and PCMA, too.
func (w *writer) media(m *Media, sessionAddress string) {
	w.line("m=%s %d %s %s", m.Name, m.Port, m.Proto, m.formats())
	if m.Port == 0 {
		return
	}
	if m.Address != sessionAddress && m.Address != "" {
		w.line("c=%s", connection(m.Address))
	}
	if m.Bandwidth > 0 {
		w.line("b=AS:%d", (m.Bandwidth+999)/1000) // conference units of before RFC 3890 know nothing else
		w.line("b=TIAS:%d", m.Bandwidth)
	}
	for _, t := range m.Types {
		if t.Codec != (Codec{}) {
			w.line("a=rtpmap:%d %s", t.Number, t.Codec)
		}
		if t.Params != "" {
			w.line("a=fmtp:%d %s", t.Number, t.Params)
		}
	}
	w.feedback(m.Types, "nack pli", func(t Type) bool { return t.PLI })
	w.feedback(m.Types, "ccm fir", func(t Type) bool { return t.FIR })
	w.transport(m)
	if m.PacketTime > 0 {
		w.line("a=ptime:%d", m.PacketTime/time.Millisecond)
	}
	if m.Slides {
		w.line("a=content:slides")
	}
	w.line("a=%s", m.Direction)
}

// feedback writes one line for all types, if all have the feedback.
func (w *writer) feedback(types []Type, name string, has func(Type) bool) {
	var numbers []string
	for _, t := range types {
		if has(t) {
			numbers = append(numbers, fmt.Sprint(t.Number))
		}
	}
	if len(numbers) == len(types) && len(types) > 0 {
		numbers = []string{"*"}
	}
	for _, number := range numbers {
		w.line("a=rtcp-fb:%s %s", number, name)
	}
}

// transport writes how RTP is encrypted and where RTCP goes.
func (w *writer) transport(m *Media) {
	for _, c := range m.Crypto {
		w.line("a=crypto:%s", c.value())
	}
	switch {
	case m.RTCPPort > 0 && m.RTCPAddress != "":
		w.line("a=rtcp:%d %s", m.RTCPPort, connection(m.RTCPAddress))
	case m.RTCPPort > 0:
		w.line("a=rtcp:%d", m.RTCPPort)
	}
	if m.RTCPMux {
		w.line("a=rtcp-mux")
	}
}

// connection writes an address with its type. The type of a host name is that of most hosts.
func connection(address string) string {
	if a, err := netip.ParseAddr(address); err == nil && a.Is6() {
		return "IN IP6 " + address
	}
	return "IN IP4 " + address
}
