package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"transponder/internal/transponder"
)

var place = regexp.MustCompile(`line (\d+), column (\d+)`)

// FuzzBody reads any body as every kind of request. An object is read. Anything else is refused with the status 400 and, if it is not JSON,
// with a place inside the body.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		``, `null`, `{}`, `[]`, `{"streamName":"name","rtmpUrl":"rtmp://localhost:1935/live","width":"720","fps":29.97}`,
		"{\n  \"a\": false\n  \"options\": {}\n}", `{"a":1,}`, `{'a':1}`, `{"a":"`, `{"mediaSessionIds":["a",1,null]}`,
		`{"options":{"action":"mute","loop":"true"}}`, "\ufeff{}", "{\"a\":\"\xff\"}", `{"width":1e999}`, `{} {}`,
		`{"published":"TRUE","all":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, read := range []func(*fields) error{
			func(f *fields) error {
				f.required("streamName")
				f.boolean("rtmpTransponderFullUrl")
				f.integer("width")
				f.number("fps")
				return errors.Join(f.object("options").err, f.err)
			},
			func(f *fields) error { newStreamFilter(f); return f.err },
		} {
			fields, err := parseFields(body)
			if err == nil {
				if err = read(fields); err != nil {
					var bad *transponder.RequestError
					if !errors.As(err, &bad) {
						t.Fatalf("error %v is no *RequestError", err)
					}
				}
				continue
			}
			if status, _ := outcome(err); status != http.StatusBadRequest {
				t.Fatalf("status of %v = %d", err, status)
			}
			if m := place.FindStringSubmatch(err.Error()); m != nil {
				line, _ := strconv.Atoi(m[1])
				column, _ := strconv.Atoi(m[2])
				lines := strings.Split(strings.TrimPrefix(string(body), "\ufeff"), "\n")
				if line < 1 || line > len(lines) || column < 1 || column > len([]rune(lines[line-1]))+1 {
					t.Fatalf("%v: there is no such place in %q", err, body)
				}
			}
		}
	})
}

// FuzzLoose checks that numbers and booleans mean the same as strings.
func FuzzLoose(f *testing.F) {
	f.Add(720, 29.97, true)
	f.Add(-1, 0.0, false)
	f.Fuzz(func(t *testing.T, n int, x float64, b bool) {
		number, err := json.Marshal(x)
		if err != nil {
			t.Skip("not a JSON number")
		}
		type read struct {
			n   int
			x   float64
			b   bool
			bad bool
		}
		var got [2]read
		for i, format := range []string{`{"n":%d,"x":%s,"b":%v}`, `{"n":"%d","x":"%s","b":"%v"}`} {
			f, err := parseFields(fmt.Appendf(nil, format, n, number, b))
			if err != nil {
				t.Fatal(err)
			}
			got[i] = read{f.integer("n"), f.number("x"), *f.boolean("b"), f.err != nil}
		}
		if got[0] != got[1] {
			t.Errorf("as they are %+v, as strings %+v", got[0], got[1])
		}
		if want := (read{n, x, b, false}); !got[0].bad && got[0] != want {
			t.Errorf("read %+v, want %+v", got[0], want)
		}
	})
}
