package phone

import (
	"fmt"
	"strconv"
	"strings"
)

// Describe writes an SDP. A section is the lines of an m-section: see Stream.Section.
func Describe(address string, version int, sections ...string) string {
	return fmt.Sprintf("v=0\r\no=phone 7 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n%s", version, address, address, strings.Join(sections, ""))
}

// Section is an m-section of an SDP that the phone received.
type Section struct {
	Kind    string // "audio", "video"
	Port    int
	Proto   string
	Formats []string
	Address string
	Lines   []string // after the m-line
}

// ReadSDP takes the sections of an SDP apart.
func ReadSDP(text string) (sections []Section) {
	address := ""
	for line := range strings.SplitSeq(text, "\r\n") {
		at := len(sections) - 1
		switch {
		case strings.HasPrefix(line, "m="):
			words := strings.Fields(line[2:])
			if len(words) < 4 {
				continue
			}
			port, _ := strconv.Atoi(words[1])
			sections = append(sections, Section{Kind: words[0], Port: port, Proto: words[2], Formats: words[3:], Address: address})
		case strings.HasPrefix(line, "c=IN IP4 ") && at < 0:
			address = line[9:]
		case strings.HasPrefix(line, "c=IN IP4 "):
			sections[at].Address = line[9:]
		case at >= 0 && line != "":
			sections[at].Lines = append(sections[at].Lines, line)
		}
	}
	return sections
}

// Of returns the first section of a kind that is not refused.
func Of(sections []Section, kind string) (Section, bool) {
	for _, s := range sections {
		if s.Kind == kind && s.Port > 0 {
			return s, true
		}
	}
	return Section{}, false
}

// Attribute returns the values of the a= lines of a name. An attribute without a value has "".
func (s Section) Attribute(name string) (values []string) {
	for _, line := range s.Lines {
		if line == "a="+name {
			values = append(values, "")
		} else if value, ok := strings.CutPrefix(line, "a="+name+":"); ok {
			values = append(values, value)
		}
	}
	return values
}

// Direction returns "sendrecv", "sendonly", "recvonly" or "inactive".
func (s Section) Direction() string {
	for _, d := range []string{"sendonly", "recvonly", "inactive"} {
		if s.Attribute(d) != nil {
			return d
		}
	}
	return "sendrecv"
}

// Type returns the first payload type of a codec, such as "PCMU/8000"; the names of static types need not be written.
func (s Section) Type(codec string) (uint8, bool) {
	static := map[string]string{"0": "PCMU/8000", "8": "PCMA/8000", "9": "G722/8000"}
	for _, format := range s.Formats {
		name := static[format]
		for _, mapped := range s.Attribute("rtpmap") {
			if number, codec, _ := strings.Cut(mapped, " "); number == format {
				name = codec
			}
		}
		if strings.EqualFold(name, codec) {
			n, err := strconv.ParseUint(format, 10, 7)
			return uint8(n), err == nil
		}
	}
	return 0, false
}
