package rtc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"transponder/internal/media"
)

const (
	// maxOffer limits the size of an offer. Browsers' offers are smaller than 10 kB.
	maxOffer    = 256 << 10
	maxSections = 64 // m-lines
	// maxCandidates limits the candidates of a section: checks may be sent to each of them.
	maxCandidates = 64
	// maxFeedback limits the kinds of feedback of a payload type. Browsers offer five.
	maxFeedback = 32
)

// transportCCURI is the header extension for transport-wide sequence numbers.
const transportCCURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

// orientationURI is the header extension for the rotation of pictures (3GPP TS 26.114, 6.2.3).
const orientationURI = "urn:3gpp:video-orientation"

// ParseOffer reads an offer to send, and chooses one codec for each section that sends. For video it prefers H.264
// (packetization mode 1 to mode 0) to the first of VP8, VP9, AV1 and HEVC; for audio it prefers Opus to G.711. Clients edit
// their offers, so it ignores lines that it does not know or cannot read. It fails with ErrBadOffer or ErrNoCommonCodecs.
func ParseOffer(text string) (*ParsedOffer, error) { return reading{rank: (*format).rank}.parse(text) }

// ParsePlay reads an offer to receive, and chooses for each section that receives the first of these tracks whose codec the
// section has. It refuses sections for which there is no track of their kind. It ignores the same lines, and fails with the
// same errors, as ParseOffer.
func ParsePlay(text string, tracks ...*media.Track) (*ParsedOffer, error) {
	return reading{receives: true, rank: func(f *format, k media.Kind) (media.Codec, int) { return f.rankFor(k, tracks) }, tracks: tracks}.parse(text)
}

// reading says what to look for in an offer.
type reading struct {
	receives bool           // look for sections that receive; otherwise for sections that send
	tracks   []*media.Track // what can be sent to sections that receive
	rank     func(*format, media.Kind) (media.Codec, int)
}

// wants says whether sections of a kind can be used.
func (r reading) wants(k media.Kind) bool {
	return !r.receives || slices.ContainsFunc(r.tracks, func(t *media.Track) bool { return t.Codec.Kind() == k })
}

func (r reading) parse(text string) (*ParsedOffer, error) {
	if len(text) > maxOffer {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrBadOffer, maxOffer)
	}
	o := &ParsedOffer{}
	head, parts := splitSections(text)
	var session sectionLines
	var groups [][]string
	for _, line := range head {
		key, value := attribute(line)
		session.line(key, value)
		switch {
		case key == "ice-lite":
			o.Lite = true
		case key == "group":
			if f := strings.Fields(value); len(f) > 1 && len(f) <= maxSections+1 && f[0] == "BUNDLE" && len(groups) < maxSections {
				groups = append(groups, f[1:])
			}
		}
	}
	if len(parts) == 0 || len(parts) > maxSections {
		return nil, fmt.Errorf("%w: it has %d m-lines", ErrBadOffer, len(parts))
	}
	for _, part := range parts {
		s, left, err := r.section(part, session)
		if err != nil {
			return nil, err
		}
		o.leave(left)
		o.Sections = append(o.Sections, s)
	}
	if err := o.nameSections(); err != nil {
		return nil, err
	}
	for _, s := range o.Sections {
		if s.Kind != media.KindNone && !r.wants(s.Kind) {
			s.refuse()
		}
	}
	used, err := o.choose()
	if err != nil {
		return nil, err
	}
	return o, o.connect(used, groups)
}

// leave notes why a section that sends is not used. The first reason counts.
func (o *ParsedOffer) leave(why string) {
	if o.Left == "" {
		o.Left = why
	}
}

// nameSections gives a MID to the sections that have none. It fails if two sections have the same.
func (o *ParsedOffer) nameSections() error {
	names := map[string]bool{}
	for _, s := range o.Sections {
		if s.MID != "" && names[s.MID] {
			return fmt.Errorf("%w: two sections have a=mid:%s", ErrBadOffer, s.MID)
		}
		names[s.MID] = true
	}
	next := 0
	for i, s := range o.Sections {
		if s.MID != "" {
			continue
		}
		// Clients without a=mid lines name a section by its index.
		for s.MID = strconv.Itoa(i); names[s.MID]; next++ {
			s.MID = strconv.Itoa(len(o.Sections) + next)
		}
		names[s.MID] = true
	}
	return nil
}

// choose returns the sections to use: the first of each kind. It refuses the others.
func (o *ParsedOffer) choose() ([]*Section, error) {
	var used []*Section
	for _, s := range o.Sections {
		if s.Kind == media.KindNone {
			continue
		}
		if slices.ContainsFunc(used, func(u *Section) bool { return u.Kind == s.Kind }) {
			o.leave(fmt.Sprintf("there are two sections of %s, and one stream has one of them", s.Kind))
			s.refuse()
			continue
		}
		if s.Codec == media.CodecNone {
			return nil, fmt.Errorf("%w: %s needs %s", ErrNoCommonCodecs, s.Kind, wanted(s.Kind))
		}
		used = append(used, s)
	}
	if len(used) == 0 {
		return nil, fmt.Errorf("%w: no section for audio or video can be used", ErrBadOffer)
	}
	return used, nil
}

// connect decides whether the used sections share one transport or have a transport each, and checks what is needed for it.
func (o *ParsedOffer) connect(used []*Section, groups [][]string) error {
	o.bundle(used, groups)
	if len(o.Bundle) == 0 && slices.ContainsFunc(used, func(s *Section) bool { return s.BundleOnly }) {
		return fmt.Errorf("%w: a section is bundle-only, but not in one BUNDLE group with the others", ErrBadOffer)
	}
	for _, s := range used {
		switch {
		case s.Ufrag == "" || s.Pwd == "":
			return fmt.Errorf("%w: it has no ICE user name and password", ErrBadOffer)
		case s.Fingerprint == "":
			return fmt.Errorf("%w: it has no DTLS fingerprint", ErrBadOffer)
		}
		// If the offer has no group, but the same user name in all sections, then the line with the group was lost.
		o.Unbundled = o.Unbundled || len(o.Bundle) == 0 && (len(groups) > 0 || s.Ufrag != used[0].Ufrag) && len(used) > 1
	}
	if len(used) > 1 && !o.Unbundled && used[0].PayloadType == used[1].PayloadType {
		return fmt.Errorf("%w: audio and video share payload type %d", ErrBadOffer, used[0].PayloadType)
	}
	return nil
}

// bundle finds the BUNDLE group that has all used sections, and gives its transport to them. The ICE and DTLS lines of the
// tagged section, the first of the group, count for all sections (RFC 9143, 7.1.2 and 9). Lines that it lacks are taken
// from the next section that has them.
func (o *ParsedOffer) bundle(used []*Section, groups [][]string) {
	for _, group := range groups {
		var sections []*Section
		for _, mid := range group {
			i := slices.IndexFunc(o.Sections, func(s *Section) bool { return s.MID == mid })
			if i >= 0 && !o.Sections[i].Disabled && !slices.Contains(sections, o.Sections[i]) {
				sections = append(sections, o.Sections[i])
			}
		}
		if !slices.ContainsFunc(used, func(s *Section) bool { return !slices.Contains(sections, s) }) {
			o.Bundle = sections
			break
		}
	}
	if len(o.Bundle) == 0 {
		return
	}
	var transport Section
	for _, s := range o.Bundle {
		transport.complete(s)
	}
	for _, s := range used {
		s.Ufrag, s.Pwd, s.Fingerprint, s.Setup = transport.Ufrag, transport.Pwd, transport.Fingerprint, transport.Setup
		s.Candidates = transport.Candidates
	}
	for i, s := range o.Bundle {
		s.Kept = s.Codec == media.CodecNone && (i == 0 || s.isRTP())
	}
	o.Bundle = slices.DeleteFunc(o.Bundle, func(s *Section) bool { return s.Codec == media.CodecNone && !s.Kept })
}

// complete fills in what is still missing of the transport, from another section of the bundle.
func (s *Section) complete(from *Section) {
	if s.Ufrag == "" || s.Pwd == "" {
		s.Ufrag, s.Pwd = from.Ufrag, from.Pwd
	}
	if s.Fingerprint == "" {
		s.Fingerprint = from.Fingerprint
	}
	if s.Setup == "" {
		s.Setup = from.Setup
	}
	if len(s.Candidates) == 0 {
		s.Candidates = from.Candidates
	}
}

func wanted(k media.Kind) string {
	if k == media.Video {
		return "H264, VP8, VP9, AV1 or H265"
	}
	return "opus, PCMA or PCMU"
}

func (s *Section) refuse() { s.Kind, s.Codec = media.KindNone, media.CodecNone }

// splitSections splits SDP into lines, without line ends and empty lines. head has the lines before the first m-line,
// sections the lines of each m-section.
func splitSections(text string) (head []string, sections [][]string) {
	// For some parsers a single CR ends a line. None may hide in text that we copy into an answer.
	for line := range strings.Lines(strings.ReplaceAll(text, "\r", "\n")) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "m="):
			sections = append(sections, []string{line})
		case len(sections) == 0:
			head = append(head, line)
		default:
			last := len(sections) - 1
			sections[last] = append(sections[last], line)
		}
	}
	return head, sections
}

// attribute splits an a= line. The key is empty for other lines.
func attribute(line string) (key, value string) {
	rest, ok := strings.CutPrefix(line, "a=")
	if !ok {
		return "", ""
	}
	key, value, _ = strings.Cut(rest, ":")
	return strings.ToLower(key), strings.TrimSpace(value)
}

// format is one payload type of a section.
type format struct {
	rtpmap, fmtp string
	feedback     []string
}

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
		return nil, "", fmt.Errorf("%w: it has a short m-line", ErrBadOffer)
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
	wanted := "sendonly"
	if r.receives {
		wanted = "recvonly"
	}
	fits := l.direction == "" || l.direction == "sendrecv" || l.direction == wanted
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

// rank returns the codec of a payload type and its rank; 0: it cannot be used.
func (f *format) rank(k media.Kind) (media.Codec, int) {
	name, rest, _ := strings.Cut(strings.ToLower(f.rtpmap), "/")
	switch {
	case k == media.Video && rest == "90000":
		return f.rankVideo(name)
	case k == media.Audio && name == "opus" && rest == "48000/2":
		return media.Opus, 2
	case k == media.Audio && name == "pcma" && (rest == "8000" || rest == "8000/1"):
		return media.PCMA, 1
	case k == media.Audio && name == "pcmu" && (rest == "8000" || rest == "8000/1"):
		return media.PCMU, 1
	default:
		return media.CodecNone, 0
	}
}

// rankVideo prefers H.264, which RTMP carries without transcoding. The other codecs are equal.
func (f *format) rankVideo(name string) (media.Codec, int) {
	profile := parameter(f.fmtp, "profile-id")
	switch {
	case name == "h264" && parameter(f.fmtp, "packetization-mode") == "1":
		return media.H264, 3
	case name == "h264":
		return media.H264, 2
	case name == "vp8":
		return media.VP8, 1
	case name == "vp9" && (profile == "" || profile == "0"): // 8 bits, 4:2:0
		return media.VP9, 1
	case name == "av1" && (parameter(f.fmtp, "profile") == "" || parameter(f.fmtp, "profile") == "0"):
		return media.AV1, 1
	case name == "h265" && (profile == "" || profile == "1"): // Main
		return media.H265, 1
	default:
		return media.CodecNone, 0
	}
}

// rankFor prefers the codec of the first track. For H.264 it also prefers the mode that allows fragments, and the profile
// of the track. Most decoders take any profile, whatever the offer says, but some may be strict.
func (f *format) rankFor(k media.Kind, tracks []*media.Track) (media.Codec, int) {
	codec, _ := f.rank(k)
	i := slices.IndexFunc(tracks, func(t *media.Track) bool { return t.Codec == codec })
	if codec == media.CodecNone || i < 0 {
		return media.CodecNone, 0
	}
	rank := 4 * (len(tracks) - i)
	if codec == media.H264 {
		if parameter(f.fmtp, "packetization-mode") == "1" {
			rank += 2
		}
		level := parameter(f.fmtp, "profile-level-id")
		if c := tracks[i].Config; len(c) > 1 && len(level) == 6 && strings.EqualFold(level[:2], fmt.Sprintf("%02x", c[1])) {
			rank++
		}
	}
	return codec, rank
}

// parameter returns the value of a parameter of an a=fmtp line, "" if there is none.
func parameter(fmtp, name string) string {
	for part := range strings.SplitSeq(fmtp, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
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
