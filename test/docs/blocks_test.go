package docs

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
)

var (
	block   = regexp.MustCompile("(?ms)^```(xml|ini)\n(.*?)^```$")
	iniLine = regexp.MustCompile(`^(\[[\w-]+\]|[\w-]+=\S.*|)$`)
)

// The files of other programs that documents show can be read by those programs, as far as the form goes.
func TestBlocks(t *testing.T) {
	found := map[string]int{}
	for _, doc := range documents(t) {
		for _, m := range block.FindAllStringSubmatch(read(t, doc), -1) {
			found[m[1]]++
			if m[1] == "ini" {
				for line := range strings.Lines(m[2]) {
					if !iniLine.MatchString(strings.TrimRight(line, "\n")) {
						t.Errorf("%s: %q is no line of such a file", doc, line)
					}
				}
				continue
			}
			for decoder := xml.NewDecoder(strings.NewReader(m[2])); ; {
				if _, err := decoder.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Errorf("%s: %v in\n%s", doc, err, m[2])
					break
				}
			}
		}
	}
	if found["xml"] == 0 || found["ini"] == 0 {
		t.Errorf("found %v, want some of each", found)
	}
}
