package rtc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"transponder/internal/media"
)

// sectionLines collects what the lines of a section say.
type sectionLines struct {
	section    Section
	direction  string
	bundleOnly bool
	formats    map[string]*format
	fid        []string
	ssrcs      []string
}

// section reads one m-section. If the section sends media that cannot be received, left says why; otherwise it is empty.
func (r reading) section(lines []string, session sectionLines) (s *Section, left string, err error) {
	fields := strings.Fields(strings.TrimPrefix(lines[0], "m="))
	if len(fields) < 4 {
		return nil, "", fmt.Errorf("%w: it has a short m-line", r.bad)
	}
	l := sectionLines{section: session.section, direction: session.direction, formats: map[string]*format{}}
	l.section.Candidates = slices.Clip(l.section.Candidates)
	l.section.Media, l.section.Protocol, l.section.FirstPT = fields[0], fields[2], fields[3]
	var types []string
	for _, pt := range fields[3:] {
		n, err := strconv.ParseUint(pt, 10, 7)
		if err == nil && strconv.FormatUint(n, 10) == pt && l.formats[pt] == nil {
			types = append(types, pt)
			l.formats[pt] = &format{rtpmap: staticFormats[pt]}
		}
	}
	for _, line := range lines[1:] {
		l.line(attribute(line))
	}
	s = &l.section
	if f := l.formats[s.FirstPT]; f != nil {
		s.FirstMap, s.FirstFormat = f.rtpmap, f.fmtp
	}
	// Port 0 is a refused section, or one that only lives in a bundle (RFC 9143, 6).
	port, _, _ := strings.Cut(fields[1], "/")
	s.BundleOnly = port == "0" && l.bundleOnly
	s.Disabled = port == "0" && !l.bundleOnly
	both := l.direction == "" || l.direction == "sendrecv"
	s.Sends, s.Receives = both || l.direction == "sendonly", both || l.direction == "recvonly"
	fits := r.sends && s.Sends || r.receives && s.Receives
	kind := media.KindNone
	switch s.Media {
	case "audio":
		kind = media.Audio
	case "video":
		kind = media.Video
	}
	if kind == media.KindNone || s.Disabled || !fits {
		return s, "", nil
	}
	if !s.isRTP() {
		return s, fmt.Sprintf("%s is offered over %s, not UDP/TLS/RTP/SAVPF", kind, s.Protocol), nil
	}
	s.Kind = kind
	l.pick(types, r.rank)
	return s, "", nil
}

// staticFormats are the payload types that need no rtpmap (RFC 3551, 6).
var staticFormats = map[string]string{"0": "PCMU/8000", "8": "PCMA/8000"}

func (l *sectionLines) line(key, value string) {
	s := &l.section
	first, second, _ := strings.Cut(value, " ")
	switch key {
	case "mid":
		s.MID = word(value)
	case "ice-ufrag":
		s.Ufrag = word(value)
	case "ice-pwd":
		s.Pwd = word(value)
	case "fingerprint":
		if s.Fingerprint == "" || strings.EqualFold(first, "sha-256") {
			s.Fingerprint = strings.ToLower(first) + " " + word(second)
		}
	case "setup":
		s.Setup = word(value)
	case "candidate":
		if len(s.Candidates) < maxCandidates && UsableCandidate(value) {
			s.Candidates = append(s.Candidates, value)
		}
	case "bundle-only":
		l.bundleOnly = true
	case "simulcast":
		s.Simulcast = true
	case "rtcp-rsize":
		s.ReducedRTCP = true
	case "sendrecv", "sendonly", "recvonly", "inactive":
		l.direction = key
	case "extmap":
		id, _, _ := strings.Cut(first, "/")
		n, err := strconv.ParseUint(id, 10, 8)
		switch {
		case err != nil || n >= 15:
		case word(second) == transportCCURI:
			s.TWCC = uint8(n)
		case word(second) == orientationURI:
			s.Orientation = uint8(n)
		}
	case "rtpmap":
		if f := l.formats[first]; f != nil {
			f.rtpmap = word(second)
		}
	case "fmtp":
		if f := l.formats[first]; f != nil {
			f.fmtp = second
		}
	case "rtcp-fb":
		for pt, f := range l.formats {
			if len(f.feedback) < maxFeedback && (pt == first || first == "*") {
				f.feedback = append(f.feedback, strings.TrimSpace(second))
			}
		}
	case "ssrc-group":
		if first == "FID" && l.fid == nil {
			l.fid = strings.Fields(second)
		}
	case "ssrc":
		l.ssrcs = append(l.ssrcs, first)
	}
}

// word returns the first word of s. We never copy the rest into an answer.
func word(s string) string {
	w, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return w
}

// UsableCandidate says whether the value of an a=candidate line is a candidate that we can send checks to: over UDP, with a
// numeric address. Browsers hide their addresses behind mDNS names, which no server can resolve; but their checks show the
// address.
func UsableCandidate(candidate string) bool {
	f := strings.Fields(candidate)
	return len(f) >= 8 && f[1] == "1" && strings.EqualFold(f[2], "udp") && !strings.HasSuffix(f[4], ".local") &&
		strings.Trim(f[4], "0123456789abcdefABCDEF.:") == ""
}

// pick chooses the payload type with the highest rank. Of equal ones the first counts, which the offerer prefers.
func (l *sectionLines) pick(types []string, rankOf func(*format, media.Kind) (media.Codec, int)) {
	best := 0
	for _, pt := range types {
		f := l.formats[pt]
		codec, rank := rankOf(f, l.section.Kind)
		n, err := strconv.ParseUint(pt, 10, 7)
		if rank <= best || err != nil {
			continue
		}
		best = rank
		s := &l.section
		s.Codec, s.PayloadType, s.RTPMap, s.Format = codec, uint8(n), f.rtpmap, f.fmtp
		s.REMB = slices.Contains(f.feedback, "goog-remb")
		// Every WebRTC client supports NACK for video, even if somebody has removed the rtcp-fb lines from the offer.
		s.NACK = slices.Contains(f.feedback, "nack") || s.Kind == media.Video
	}
	if best == 0 {
		return
	}
	l.retransmission(types)
	l.sources()
}

// retransmission finds the payload type for retransmissions of the chosen one (RFC 4588, 8.1). It ignores those for other
// payload types; the Web SDK's stripCodecs leaves some behind.
func (l *sectionLines) retransmission(types []string) {
	want := strconv.Itoa(int(l.section.PayloadType))
	for _, pt := range types {
		f := l.formats[pt]
		n, err := strconv.ParseUint(pt, 10, 7)
		if err == nil && strings.EqualFold(f.rtpmap, "rtx/90000") && parameter(f.fmtp, "apt") == want {
			l.section.RTXType = uint8(n)
			return
		}
	}
}

// sources reads the SSRCs that the offerer will use, if the offer says it.
func (l *sectionLines) sources() {
	number := func(list []string, i int) uint32 {
		if i >= len(list) {
			return 0
		}
		n, _ := strconv.ParseUint(list[i], 10, 32)
		return uint32(n)
	}
	if len(l.fid) >= 2 {
		l.section.SSRC, l.section.RTXSSRC = number(l.fid, 0), number(l.fid, 1)
		return
	}
	l.section.SSRC = number(l.ssrcs, 0)
}
