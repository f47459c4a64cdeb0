package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// explain returns an error that says what is wrong with a body that is not a JSON object, and where. The examples in the published
// contract lack commas, and people paste them.
func explain(body []byte, err error) error {
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return refusal{http.StatusBadRequest, "the body must be a JSON object, not " + kind(bytes.TrimSpace(body))}
	}
	at := int(min(syntax.Offset, int64(len(body))))
	var what string
	if strings.HasPrefix(syntax.Error(), "unexpected end") {
		what = "the body ends too early; a closing bracket or quote is missing"
	} else {
		at = max(at-1, 0) // the offset is that of the byte after the wrong one
		what = complaint(syntax.Error(), body, at)
	}
	line, column := position(body, at)
	return refusal{http.StatusBadRequest, fmt.Sprintf("the body is not valid JSON: line %d, column %d: %s", line, column, what)}
}

// complaint says what is wrong at an offset, in words for the author of the body. The message of the decoder tells what it expected.
func complaint(decoder string, body []byte, at int) string {
	here := shownToken(body[at:])
	before := bytes.TrimSpace(body[:at])
	afterComma := bytes.HasSuffix(before, []byte(","))
	switch {
	case body[at] == '\'' && strings.Contains(decoder, "looking for beginning"):
		return "strings are written in double quotes"
	case strings.Contains(decoder, "after object key:value pair"), strings.Contains(decoder, "after array element"):
		if body[at] == '"' {
			return "missing comma before " + here
		}
		return "expected a comma or a closing bracket, not " + here
	case (body[at] == '}' || body[at] == ']') && afterComma:
		return "the comma before " + here + " has nothing after it"
	case strings.Contains(decoder, "looking for beginning of object key"):
		return "expected a name in double quotes, not " + here
	case strings.Contains(decoder, "after object key"):
		return "expected a colon, not " + here
	case strings.Contains(decoder, "looking for beginning of value"):
		return "expected a value, not " + here
	case strings.Contains(decoder, "after top-level value"):
		return "nothing may follow the object, but " + here + " does"
	}
	return decoder
}

// maxToken is the longest text that is repeated in an error.
const maxToken = 40

// shownToken returns the beginning of b: a short string as it is written, otherwise one character.
func shownToken(b []byte) string {
	if end := bytes.IndexByte(b[1:], '"'); b[0] == '"' && end >= 0 && end <= maxToken {
		return string(b[:end+2])
	}
	r, _ := utf8.DecodeRune(b)
	return fmt.Sprintf("%q", r)
}

// position returns the line and the column, in characters, of an offset. Both begin with 1.
func position(body []byte, at int) (line, column int) {
	before := body[:at]
	start := bytes.LastIndexByte(before, '\n') + 1
	return bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[start:]) + 1
}
