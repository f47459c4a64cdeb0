package config

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// entry is one comment of the manual with the keys below it. All that the comment says is true of each of the keys.
type entry struct {
	keys    []string
	comment string

	least, most int      // of "Range: least to most."; both 0 without one
	words       []string // of "Values: word, word."
	special     []string // of "value: meaning"; "" for "Empty: meaning"
}

var (
	rangeWords   = regexp.MustCompile(`\bRange: (-?\d+) to (\d+)\.`)
	valuesWords  = regexp.MustCompile(`\bValues: ([^.]+)\.`)
	specialWords = regexp.MustCompile(`(?:^|\s)(-?\d+|\*|Empty|true|false): `)
)

// readManual returns the entries of the shipped settings file.
func readManual(t *testing.T) []entry {
	t.Helper()
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	var e entry
	for line := range strings.Lines(string(text) + "\n#") {
		line = strings.TrimSpace(line)
		words, isComment := strings.CutPrefix(line, "#")
		switch {
		case len(e.keys) > 0 && (isComment || line == ""):
			entries = append(entries, e.parse(t))
			e = entry{comment: words}
		case isComment:
			e.comment += words
		case line == "":
			e = entry{}
		default:
			key, _, _ := strings.Cut(line, "=")
			e.keys = append(e.keys, key)
		}
	}
	return entries
}

func (e entry) parse(t *testing.T) entry {
	if m := rangeWords.FindStringSubmatch(e.comment); m != nil {
		e.least, _ = strconv.Atoi(m[1])
		e.most, _ = strconv.Atoi(m[2])
	}
	if m := valuesWords.FindStringSubmatch(e.comment); m != nil {
		e.words = strings.Split(m[1], ", ")
	}
	for _, m := range specialWords.FindAllStringSubmatch(e.comment, -1) {
		e.special = append(e.special, strings.TrimPrefix(m[1], "Empty"))
	}
	return e
}

// accept fails if the server refuses a setting, or writes it in another way than it reads it.
func accept(t *testing.T, line string) {
	t.Helper()
	c, warnings, err := Load(Sources{Set: []string{line}})
	if err != nil || len(warnings) > 0 {
		t.Errorf("%s is documented: %q, %v", line, warnings, err)
		return
	}
	again, warnings, err := Load(Sources{File: write(t, strings.Join(c.Properties(), "\n"))})
	if err != nil || len(warnings) > 0 || !reflect.DeepEqual(again, c) {
		t.Errorf("%s is written in a form that means another thing: %q, %v", line, warnings, err)
	}
}

// The server takes every value that the manual names: the words, the values with a meaning of their own, and the ends of each range.
func TestDocumentedValues(t *testing.T) {
	found := map[string]bool{}
	for _, e := range readManual(t) {
		values := slices.Concat(e.words, e.special)
		if e.least != e.most {
			values = append(values, strconv.Itoa(e.least), strconv.Itoa(e.most))
		}
		for _, key := range e.keys {
			for _, value := range values {
				if key == "rtp_activity_detecting" && strings.Trim(value, "0123456789") == "" {
					value = "true," + value
				}
				accept(t, key+"="+value)
				found[key+"="+value] = true
			}
		}
	}
	for _, line := range []string{
		"wss.port=-1", "rtmp_push_restore_attempts=-1", "rtmp_out_buffer_max_bufferings_allowed=-1", "max_players=0", "ip=",
		"rtmp_transponder_stream_name_prefix=", "publish_takeover=never", "rtp_activity_detecting=false", "rtp_activity_detecting=true,86400",
		"rest_access_control_allow_origin=*", "rtmp_push_audio_codec=copy", "log_level=error",
	} {
		if !found[line] {
			t.Errorf("%s was not found in the manual", line)
		}
	}
}

// The ranges and words in the manual are those that the parts own: each number has one, and where a word is refused, the error names all.
func TestManualShowsLimits(t *testing.T) {
	c := Default()
	settings := c.settings()
	for _, e := range readManual(t) {
		for _, key := range e.keys {
			s := settings[slices.IndexFunc(settings, func(s setting) bool { return s.key == key })]
			shown := ""
			if e.least != e.most {
				shown = fmt.Sprintf("from %d to %d", e.least, e.most)
			}
			if shown != s.limits {
				t.Errorf("%s: the manual has the range %q, want %q", key, shown, s.limits)
			}
			if len(e.words) == 0 {
				continue
			}
			_, _, err := Load(Sources{Set: []string{key + "=none of these"}})
			for _, word := range e.words {
				if err == nil || !strings.Contains(err.Error(), word) {
					t.Errorf("%s: %v, want %s named", key, err, word)
				}
			}
		}
	}
}

// The server refuses a number that is neither in the range that the manual names nor a value with a meaning of its own.
func TestDocumentedRanges(t *testing.T) {
	for _, e := range readManual(t) {
		if e.least == e.most {
			continue
		}
		for _, n := range []int{e.least - 1, e.most + 1} {
			if slices.Contains(e.special, strconv.Itoa(n)) {
				continue
			}
			for _, key := range e.keys {
				if _, _, err := Load(Sources{Set: []string{fmt.Sprintf("%s=%d", key, n)}}); err == nil {
					t.Errorf("%s=%d is accepted, and the range is from %d to %d", key, n, e.least, e.most)
				}
			}
		}
	}
}

// A meaning of 0 or -1 stands in the form "0: meaning", in which TestDocumentedValues finds it.
func TestSpecialValuesAreFound(t *testing.T) {
	other := regexp.MustCompile(`(?:^|[\s(])(0|-1)(?:[\s,;.)]|$)`)
	for _, e := range readManual(t) {
		rest := rangeWords.ReplaceAllString(e.comment, "")
		rest = strings.ReplaceAll(specialWords.ReplaceAllString(rest, " "), "more than 0", "")
		if m := other.FindString(rest); m != "" {
			t.Errorf("%v: the comment speaks of %q in another form than \"value: meaning\"", e.keys, m)
		}
	}
}
