package rtc

import (
	"errors"
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
func ParseOffer(text string) (*ParsedOffer, error) {
	return reading{sends: true, bad: ErrBadOffer, rank: (*format).rank, wanted: anyCodec}.parse(text)
}

// ParsePlay reads an offer to receive, and chooses for each section that receives the first of these tracks whose codec the
// section has. It refuses sections for which there is no track of their kind. It ignores the same lines, and fails with the
// same errors, as ParseOffer.
func ParsePlay(text string, tracks ...*media.Track) (*ParsedOffer, error) {
	rank := func(f *format, k media.Kind) (media.Codec, int) { return f.rankFor(k, tracks) }
	hasTrack := func(k media.Kind) bool {
		return slices.ContainsFunc(tracks, func(t *media.Track) bool { return t.Codec.Kind() == k })
	}
	return reading{receives: true, bad: ErrBadOffer, rank: rank, kinds: hasTrack, wanted: anyCodec}.parse(text)
}

// ParseCall reads an offer of media both ways, and chooses one codec for each section that sends or receives. It prefers the
// codecs of terms, then H.264 to VP8 and Opus to G.711. It leaves out codecs that other media cannot be transcoded to. It
// refuses sections whose kind the terms exclude. It ignores the same lines, and fails with the same errors, as
// ParseOffer.
func ParseCall(text string, terms Terms) (*ParsedOffer, error) {
	rank := func(f *format, k media.Kind) (media.Codec, int) { return f.rankCall(k, terms) }
	o, err := reading{sends: true, receives: true, bad: ErrBadOffer, rank: rank, kinds: terms.has, wanted: callCodec}.parse(text)
	if err == nil && o.Unbundled {
		return nil, fmt.Errorf("%w: audio and video are in different BUNDLE groups, and a call has one transport", ErrBadOffer)
	}
	return o, err
}

// reading says what to look for in an offer.
type reading struct {
	sends, receives bool  // look for sections that send, or receive
	bad             error // what SDP that is not usable is called
	rank            func(*format, media.Kind) (media.Codec, int)
	kinds           func(media.Kind) bool   // whether sections of a kind can be used; nil: they can
	wanted          func(media.Kind) string // names the codecs that can be used
}

func (r reading) parse(text string) (*ParsedOffer, error) {
	if len(text) > maxOffer {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", r.bad, maxOffer)
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
		return nil, fmt.Errorf("%w: it has %d m-lines", r.bad, len(parts))
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
		return nil, fmt.Errorf("%w: %w", r.bad, err)
	}
	for _, s := range o.Sections {
		if s.Kind != media.KindNone && r.kinds != nil && !r.kinds(s.Kind) {
			s.refuse()
		}
	}
	used, err := r.choose(o)
	if err != nil {
		return nil, err
	}
	if err := o.connect(used, groups); err != nil {
		return nil, fmt.Errorf("%w: %w", r.bad, err)
	}
	return o, nil
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
			return fmt.Errorf("two sections have a=mid:%s", s.MID)
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
func (r reading) choose(o *ParsedOffer) ([]*Section, error) {
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
			return nil, fmt.Errorf("%w: %s needs %s", ErrNoCommonCodecs, s.Kind, r.wanted(s.Kind))
		}
		used = append(used, s)
	}
	if len(used) == 0 {
		return nil, fmt.Errorf("%w: no section for audio or video can be used", r.bad)
	}
	return used, nil
}

// connect decides whether the used sections share one transport or have a transport each, and checks what is needed for it.
func (o *ParsedOffer) connect(used []*Section, groups [][]string) error {
	o.bundle(used, groups)
	if len(o.Bundle) == 0 && slices.ContainsFunc(used, func(s *Section) bool { return s.BundleOnly }) {
		return errors.New("a section is bundle-only, but not in one BUNDLE group with the others")
	}
	for _, s := range used {
		switch {
		case s.Ufrag == "" || s.Pwd == "":
			return errors.New("it has no ICE user name and password")
		case s.Fingerprint == "":
			return errors.New("it has no DTLS fingerprint")
		}
		// If the offer has no group, but the same user name in all sections, then the line with the group was lost.
		o.Unbundled = o.Unbundled || len(o.Bundle) == 0 && (len(groups) > 0 || s.Ufrag != used[0].Ufrag) && len(used) > 1
	}
	if len(used) > 1 && !o.Unbundled && used[0].PayloadType == used[1].PayloadType {
		return fmt.Errorf("audio and video share payload type %d", used[0].PayloadType)
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

func anyCodec(k media.Kind) string {
	if k == media.Video {
		return "H264, VP8, VP9, AV1 or H265"
	}
	return "opus, PCMA or PCMU"
}

func callCodec(k media.Kind) string {
	if k == media.Video {
		return "H264 or VP8"
	}
	return anyCodec(k)
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
