package site

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

var settingLine = regexp.MustCompile(`^([\w.]+)=(.*)$`)

// settingsDocument makes Markdown from flashphoner.properties: a heading for each setting, which is its line in the file, and under it the
// comment that stands above the line there. The anchor of a setting is its name, such as #http.port.
func settingsDocument(file []byte) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("# Every setting\n\n")
	var comment []string
	settings := 0
	flush := func() {
		for _, line := range comment {
			out.WriteString(line + "\n")
		}
		if len(comment) > 0 {
			out.WriteString("\n")
		}
		comment = nil
	}
	after := false // the last line was a setting, whose comment is not written yet
	for line := range bytes.Lines(file) {
		line := strings.TrimRight(string(line), "\n")
		m := settingLine.FindStringSubmatch(line)
		switch {
		case m != nil:
			settings++
			fmt.Fprintf(&out, "### `%s` {#%s}\n\n", line, m[1])
			after = true
		case strings.HasPrefix(line, "## "):
			flush()
			fmt.Fprintf(&out, "%s {#section-%d}\n\n", line, settings) // a name could be that of a setting
		case line == "" && (after || settings == 0):
			flush()
			after = false
		case line == "":
		case strings.HasPrefix(line, "#"):
			comment = append(comment, commentLine(line)...)
		default:
			return nil, fmt.Errorf("%q is neither a setting nor a comment", line)
		}
	}
	flush()
	return out.Bytes(), nil
}

// limit begins a line of a comment that tells the values of a setting.
var limit = regexp.MustCompile(`^(Range|Values|Empty|0|-1): `)

// commentLine makes Markdown from a line of a comment. Values stand in a paragraph of their own, and indented lines are code.
func commentLine(line string) []string {
	text := strings.TrimPrefix(strings.TrimPrefix(line, "#"), " ")
	if strings.HasPrefix(text, "    ") {
		return []string{text}
	}
	text = document.ReplaceAllString(escapeMarkdown.Replace(text), "[$0]($0)")
	if limit.MatchString(text) {
		return []string{"", text}
	}
	return []string{text}
}

// document is the name of a document in a comment.
var document = regexp.MustCompile(`docs/[\w-]+\.md`)

// escapeMarkdown keeps characters of a plain text from being read as Markdown.
var escapeMarkdown = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`, "`", "\\`", "|", `\|`)
