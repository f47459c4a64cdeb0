package sdp

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// The limits of what Parse reads. Descriptions of room systems, the longest of all, have about 6 kB and 8 sections.
const (
	maxText     = 64 << 10
	maxLines    = 2000
	maxSections = 32
	maxCrypto   = 16 // of a section; more are ignored

	maxPort       = 65535
	maxBandwidth  = 10_000_000_000 // bits per second; a higher value is no value
	maxPacketTime = 200            // milliseconds; a higher value is no value
)

// Parse reads an offer or an answer. It passes over lines that it does not know or cannot read. Lines may stand in any order, lines that the
// grammar demands may be missing, and a line may end with CR, LF or both. Parse fails if the text is longer than 64 KiB, if it has too many
// lines or sections, if it has no m-line, or if an m-line has no protocol.
//
// A section whose address is 0.0.0.0 receives nothing, whatever its direction says: phones before RFC 3264 put calls on hold in this way.
func Parse(text string) (*Session, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("SDP of %d bytes is longer than %d", len(text), maxText)
	}
	text = strings.Map(cleaned, text)
	if strings.Count(text, "\n") > 2*maxLines { // CR and LF are two of them
		return nil, fmt.Errorf("SDP has more than %d lines", maxLines)
	}
	s := &Session{ID: "0", Version: "0"}
	defaults := Media{Direction: SendRecv} // what the lines before the first section say
	section := &defaults
	for line := range strings.Lines(text) {
		letter, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.TrimSpace(value)
		switch {
		case !ok:
		case letter == "o":
			s.readOrigin(value)
		case letter == "m":
			if len(s.Media) == maxSections {
				return nil, fmt.Errorf("SDP has more than %d sections", maxSections)
			}
			m, err := parseMediaLine(value)
			if err != nil {
				return nil, err
			}
			m.Direction = defaults.Direction
			s.Media = append(s.Media, m)
			section = &s.Media[len(s.Media)-1]
		default:
			section.readLine(letter, value)
		}
	}
	if len(s.Media) == 0 {
		return nil, fmt.Errorf("SDP has no m-line")
	}
	s.Address = defaults.Address
	for i := range s.Media {
		s.Media[i].complete(&defaults)
	}
	return s, nil
}

// cleaned replaces characters that could end or split a line somewhere else, and drops other control characters.
func cleaned(r rune) rune {
	switch {
	case r == '\n' || r == '\r':
		return '\n'
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r):
		return -1
	default:
		return r
	}
}

// readOrigin reads an o= line from the end, since some phones put a name with blanks at the beginning.
func (s *Session) readOrigin(value string) {
	f := strings.Fields(value)
	if n := len(f); n >= 5 {
		s.ID, s.Version = f[n-5], f[n-4]
	}
}

// parseMediaLine reads an m-line. A section whose port or formats cannot be read counts as refused.
func parseMediaLine(value string) (Media, error) {
	f := strings.Fields(value)
	if len(f) < 3 {
		return Media{}, fmt.Errorf("m-line %.100q has no protocol", value)
	}
	port, _, _ := strings.Cut(f[1], "/") // m=audio 5000/2 asks for two ports; we use one
	m := Media{Name: f[0], Port: number(port, maxPort), Proto: f[2], Formats: strings.Join(f[3:], " ")}
	if len(f) == 3 {
		m.Port, m.Formats = 0, "0"
	}
	if m.Port == 0 || !strings.Contains(strings.ToUpper(m.Proto), "RTP/") {
		return m, nil
	}
	for _, format := range f[3:] {
		n, err := strconv.ParseUint(format, 10, 7)
		if err == nil && m.find(uint8(n)) == nil {
			m.Types = append(m.Types, Type{Number: uint8(n), Codec: static[uint8(n)]})
		}
	}
	if len(m.Types) > 0 {
		m.Formats = ""
	}
	return m, nil
}

// readLine reads a line of a section other than the m-line.
func (m *Media) readLine(letter, value string) {
	switch letter {
	case "c":
		if a, ok := parseAddress(value); ok {
			m.Address = a
		}
	case "b":
		m.readBandwidth(value)
	case "a":
		key, value, _ := strings.Cut(value, ":")
		m.readAttribute(strings.ToLower(key), strings.TrimSpace(value))
	}
}

// readBandwidth reads a b= line. TIAS, in bits per second without headers (RFC 3890), is preferred to AS, in kbit/s.
func (m *Media) readBandwidth(value string) {
	modifier, value, _ := strings.Cut(value, ":")
	n := number(strings.TrimSpace(value), maxBandwidth)
	switch {
	case n == 0:
	case modifier == "TIAS":
		m.Bandwidth = n
	case modifier == "AS" && n <= maxBandwidth/1000 && m.Bandwidth == 0:
		m.Bandwidth = n * 1000
	}
}

func (m *Media) readAttribute(key, value string) {
	if d, ok := parseDirection(key); ok {
		m.Direction = d
		return
	}
	switch key {
	case "rtpmap", "fmtp", "rtcp-fb":
		f := strings.SplitN(value, " ", 2)
		if len(f) == 2 {
			m.readTypeAttribute(key, f[0], strings.TrimSpace(f[1]))
		}
	case "rtcp":
		m.readRTCP(value)
	case "rtcp-mux":
		m.RTCPMux = true
	case "ptime":
		if n := number(value, maxPacketTime); n > 0 {
			m.PacketTime = time.Duration(n) * time.Millisecond
		}
	case "content":
		contents := strings.Split(strings.ToLower(value), ",")
		m.Slides = m.Slides || slices.Contains(contents, "slides")
	case "crypto":
		if c, ok := parseCrypto(value); ok && len(m.Crypto) < maxCrypto {
			m.Crypto = append(m.Crypto, c)
		}
	}
}

// readTypeAttribute reads an attribute of one payload type. The feedback of type "*" counts for all types.
func (m *Media) readTypeAttribute(key, number, value string) {
	for i := range m.Types {
		t := &m.Types[i]
		all := number == "*" && key == "rtcp-fb"
		if !all && strconv.Itoa(int(t.Number)) != number {
			continue
		}
		switch {
		case key == "rtpmap":
			if c := parseCodec(strings.Fields(value)[0]); c.Name != "" {
				t.Codec = c
			}
		case key == "fmtp" && t.Params == "":
			t.Params = value
		case key == "fmtp":
			t.Params += ";" + value
		case strings.EqualFold(value, "nack pli"):
			t.PLI = true
		case strings.EqualFold(value, "ccm fir"):
			t.FIR = true
		}
	}
}

// readRTCP reads an a=rtcp line (RFC 3605): a port, and perhaps an address.
func (m *Media) readRTCP(value string) {
	port, address, _ := strings.Cut(value, " ")
	if n := number(port, maxPort); n > 0 {
		m.RTCPPort = n
		if a, ok := parseAddress(address); ok {
			m.RTCPAddress = a
		}
	}
}

// complete gives the section what the lines before the first section say. It ends the reading of the section.
func (m *Media) complete(defaults *Media) {
	if m.Port == 0 {
		*m = m.refused()
		return
	}
	if m.Address == "" {
		m.Address = defaults.Address
	}
	if m.Bandwidth == 0 {
		m.Bandwidth = defaults.Bandwidth
	}
	if a, err := netip.ParseAddr(m.Address); err == nil && a.IsUnspecified() {
		m.Direction &^= RecvOnly
	}
}

// parseAddress reads the address of a c= or a=rtcp line: the last word, without the TTL of multicast. ok is false if it is neither a
// numeric address nor a host name.
func parseAddress(value string) (address string, ok bool) {
	f := strings.Fields(value)
	if len(f) == 0 {
		return "", false
	}
	address, _, _ = strings.Cut(f[len(f)-1], "/")
	address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if a, err := netip.ParseAddr(address); err == nil {
		return a.WithZone("").String(), true
	}
	return address, isHostName(address)
}

// isHostName says whether the text may be a host name. The words IN, IP4 and IP6 are none: they are the last words if the address is
// missing.
func isHostName(text string) bool {
	letters := false
	for _, r := range text {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (r < '0' || r > '9') && !strings.ContainsRune(".-_", r) {
			return false
		}
		letters = letters || letter
	}
	return letters && len(text) <= 253 && !slices.Contains([]string{"IN", "IP4", "IP6"}, text)
}
