package rtc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"transponder/internal/media"
)

const (
	// maxOffer bounds the size of an offer; browsers' offers are under 10 kB.
	maxOffer    = 256 << 10
	maxSections = 64 // m-lines
	// maxCandidates bounds a section's candidates, to each of which checks may be sent.
	maxCandidates = 64
	// maxFeedback bounds the kinds of feedback of a payload type; browsers offer five.
	maxFeedback = 32
)

// transportCCURI is the header extension that transport-wide feedback needs.
const transportCCURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

// orientationURI is the header extension that tells the rotation of pictures (3GPP TS 26.114, 6.2.3).
const orientationURI = "urn:3gpp:video-orientation"

// ParseOffer reads an offer and picks one codec for each section that sends: H.264 (packetization mode 1 before mode 0), else the
// first of VP8, VP9, AV1 and HEVC; Opus, else G.711. It is as lenient as it can be, because clients edit their offers: lines that it does not know or
// cannot read are passed over. It fails with ErrBadOffer or ErrNoCommonCodecs.
func ParseOffer(text string) (*ParsedOffer, error) { return reading{rank: (*format).rank}.parse(text) }

// ParsePlay reads an offer to receive and picks for each section the payload type that fits what is to be sent: the first of these
// tracks of which it takes the codec. Sections of a kind that there is nothing of are refused. It is as lenient as ParseOffer, and
// fails as that does.
func ParsePlay(text string, tracks ...*media.Track) (*ParsedOffer, error) {
	return reading{receives: true, rank: func(f *format, k media.Kind) (media.Codec, int) { return f.rankFor(k, tracks) }, tracks: tracks}.parse(text)
}

// reading is what is looked for in an offer.
type reading struct {
	receives bool // sections that receive; else those that send
	tracks   []*media.Track
	rank     func(*format, media.Kind) (media.Codec, int)
}

// wants says whether there is something for sections of a kind.
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

// leave notes the first reason why a section that sends is not used.
func (o *ParsedOffer) leave(why string) {
	if o.Left == "" {
		o.Left = why
	}
}

// nameSections gives names to the sections that have none, and refuses two sections of one name.
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
		// The index is what peers without a=mid lines mean where they name a section.
		for s.MID = strconv.Itoa(i); names[s.MID]; next++ {
			s.MID = strconv.Itoa(len(o.Sections) + next)
		}
		names[s.MID] = true
	}
	return nil
}

// choose returns the sections that are to be used: the first of each kind. The others are refused.
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

// connect finds the transport of the sections that are used: one for all of them, or one for each.
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
		// Who names no groups and has one user name for all has lost the line.
		o.Unbundled = o.Unbundled || len(o.Bundle) == 0 && (len(groups) > 0 || s.Ufrag != used[0].Ufrag) && len(used) > 1
	}
	if len(used) > 1 && !o.Unbundled && used[0].PayloadType == used[1].PayloadType {
		return fmt.Errorf("%w: audio and video share payload type %d", ErrBadOffer, used[0].PayloadType)
	}
	return nil
}

// bundle finds the BUNDLE group that all used sections are in and gives them its transport: what the tagged section, the first of the
// group, says of ICE and DTLS counts for all of them (RFC 9143, 7.1.2 and 9). What it does not say is taken from the next that does.
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

// complete takes from another section of the bundle what is not known of the transport yet.
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

// splitSections returns an offer's lines without line ends and blank lines: those before the first m-line, and those of
// each m-section.
func splitSections(text string) (head []string, sections [][]string) {
	// A lone CR ends a line for some parsers; none may hide in what we copy.
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

// attribute splits an a-line; key is empty for other lines.
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

// sectionLines gathers the lines of a section.
type sectionLines struct {
	section    Section
	direction  string
	bundleOnly bool
	formats    map[string]*format
	fid        []string
	ssrcs      []string
}

// section reads one m-section. left says why media that it sends is not taken, empty where there is none, or it is.
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
	wanted := map[bool]string{false: "sendonly", true: "recvonly"}[r.receives]
	fits := l.direction == "" || l.direction == "sendrecv" || l.direction == wanted
	kind := map[string]media.Kind{"audio": media.Audio, "video": media.Video}[s.Media]
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

// word returns the first word of s: what follows is nothing that we copy.
func word(s string) string {
	w, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return w
}

// UsableCandidate says whether the value of an a=candidate line is a candidate that we can check: UDP, and an address in numbers. Browsers hide theirs
// behind mDNS names, which no server can resolve; their checks tell us the address.
func UsableCandidate(candidate string) bool {
	f := strings.Fields(candidate)
	return len(f) >= 8 && f[1] == "1" && strings.EqualFold(f[2], "udp") && !strings.HasSuffix(f[4], ".local") &&
		strings.Trim(f[4], "0123456789abcdefABCDEF.:") == ""
}

// pick chooses the section's codec among its payload types, in the order that the offerer prefers.
func (l *sectionLines) pick(types []string, rank func(*format, media.Kind) (media.Codec, int)) {
	best := 0
	for _, pt := range types {
		f := l.formats[pt]
		codec, liking := rank(f, l.section.Kind)
		n, err := strconv.ParseUint(pt, 10, 7)
		if liking <= best || err != nil {
			continue
		}
		best = liking
		s := &l.section
		s.Codec, s.PayloadType, s.RTPMap, s.Format = codec, uint8(n), f.rtpmap, f.fmtp
		s.REMB = slices.Contains(f.feedback, "goog-remb")
		// A client that lost its rtcp-fb lines on the way still answers: they are what every client of WebRTC offers.
		s.NACK = slices.Contains(f.feedback, "nack") || s.Kind == media.Video
	}
	if best == 0 {
		return
	}
	l.retransmission(types)
	l.sources()
}

// rank says how gladly a payload type is taken, 0 for not at all.
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

// rankVideo prefers what RTMP takes as it is. Of the other codecs none is better than another: the first counts.
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

// rankFor prefers the codec of the first track, and of H.264 what takes large NAL units in parts and has the track's profile. Decoders
// take any profile, whatever is written there, but some may look.
func (f *format) rankFor(k media.Kind, tracks []*media.Track) (media.Codec, int) {
	codec, _ := f.rank(k)
	i := slices.IndexFunc(tracks, func(t *media.Track) bool { return t.Codec == codec })
	if codec == media.CodecNone || i < 0 {
		return media.CodecNone, 0
	}
	liking := 4 * (len(tracks) - i)
	if codec == media.H264 {
		if parameter(f.fmtp, "packetization-mode") == "1" {
			liking += 2
		}
		level := parameter(f.fmtp, "profile-level-id")
		if c := tracks[i].Config; len(c) > 1 && len(level) == 6 && strings.EqualFold(level[:2], fmt.Sprintf("%02x", c[1])) {
			liking++
		}
	}
	return codec, liking
}

// parameter returns a value of an a=fmtp line.
func parameter(fmtp, name string) string {
	for part := range strings.SplitSeq(fmtp, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}

// retransmission finds the payload type that repeats the chosen one (RFC 4588, 8.1). One that names no chosen type, as
// the Web SDK's stripCodecs leaves behind, is passed over.
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

// sources reads which SSRCs the offerer will use, if it says so.
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
