package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"transponder/api"
	"transponder/internal/transponder"
)

// contract is api/openapi.yaml. Every request and answer of these tests must match it.
type contract struct {
	doc    *openapi3.T
	router routers.Router
}

var loadContract = sync.OnceValues(func() (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		return nil, err
	}
	if err := doc.Validate(openapi3.NewLoader().Context); err != nil {
		return nil, err
	}
	doc.Servers = openapi3.Servers{{URL: prefix}}
	router, err := gorillamux.NewRouter(doc)
	return &contract{doc, router}, err
})

// reply is an answer with its body.
type reply struct {
	*http.Response
	body []byte
}

// send makes a request. It checks the answer against the contract, and also the request if it succeeded. Only paths under the prefix are
// in the contract.
func send(t *testing.T, srv *httptest.Server, r *http.Request) reply {
	t.Helper()
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			t.Fatal(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(r.URL.Path, prefix) {
		c.check(t, r, sent, reply{resp, body})
	}
	return reply{resp, body}
}

// post sends a body as the Web SDK does.
func post(t *testing.T, srv *httptest.Server, path, body string) reply {
	t.Helper()
	return send(t, srv, newRequest(t, srv, http.MethodPost, path, body))
}

// get makes a request without a body, as the Web SDK does for find_all.
func get(t *testing.T, srv *httptest.Server, path string) reply {
	t.Helper()
	return send(t, srv, newRequest(t, srv, http.MethodGet, path, ""))
}

func newRequest(t *testing.T, srv *httptest.Server, method, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json;charset=UTF-8")
	}
	return r
}

func (c *contract) check(t *testing.T, r *http.Request, sent []byte, got reply) {
	t.Helper()
	if r.Method == http.MethodOptions || r.Method == http.MethodHead {
		return // held against what GET answers
	}
	c.checkForm(t, got)
	again := r.Clone(t.Context())
	again.Body = io.NopCloser(bytes.NewReader(sent))
	route, params, err := c.router.FindRoute(again)
	switch {
	case errors.Is(err, routers.ErrPathNotFound) && got.StatusCode == http.StatusNotFound,
		errors.Is(err, routers.ErrMethodNotAllowed) && got.StatusCode == http.StatusMethodNotAllowed,
		err != nil && got.StatusCode == http.StatusUnauthorized: // a stranger is not told what there is
		return
	}
	if err != nil {
		t.Errorf("%s %s, answered %d, is not in the contract: %v", r.Method, r.URL.Path, got.StatusCode, err)
		return
	}
	in := &openapi3filter.RequestValidationInput{
		Request: again, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true},
	}
	isJSON := strings.HasPrefix(r.Header.Get("Content-Type"), "application/json")
	if got.StatusCode == http.StatusOK && isJSON && len(sent) > 0 {
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s %s is served, but the contract forbids it: %v", r.Method, r.URL.Path, sent, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: got.StatusCode, Header: got.Header, Options: in.Options,
	}
	if err := openapi3filter.ValidateResponse(t.Context(), out.SetBodyBytes(got.body)); err != nil {
		t.Errorf("%s %s: the answer %d %s breaks the contract: %v", r.Method, r.URL.Path, got.StatusCode, got.body, err)
	}
}

// checkForm checks what is the same for all answers: the content type, and the form of errors, also on paths that the contract does not
// know.
func (c *contract) checkForm(t *testing.T, got reply) {
	t.Helper()
	ct := got.Header.Get("Content-Type")
	if len(got.body) == 0 {
		if ct != "" || got.ContentLength != 0 {
			t.Errorf("an answer without a body has content type %q and length %d, want none and 0", ct, got.ContentLength)
		}
		return
	}
	isPicture := ct == "image/jpeg" && got.StatusCode == http.StatusOK // of the methods that the contract names
	if ct != "application/json;charset=UTF-8" && ct != "application/yaml" && !isPicture {
		t.Errorf("content type = %q, want application/json;charset=UTF-8", ct)
	}
	if got.StatusCode == http.StatusOK {
		return
	}
	var body map[string]any
	if err := json.Unmarshal(got.body, &body); err != nil {
		t.Errorf("the error %s is not JSON: %v", got.body, err)
	} else if err := c.doc.Components.Schemas["Error"].Value.VisitJSON(body); err != nil {
		t.Errorf("the error %s breaks the contract: %v", got.body, err)
	} else if body["status"] != float64(got.StatusCode) {
		t.Errorf("the error says status %v in an answer of %d", body["status"], got.StatusCode)
	}
}

// message returns the message of an error.
func (r reply) message(t *testing.T) string {
	t.Helper()
	var e errorBody
	if err := json.Unmarshal(r.body, &e); err != nil {
		t.Fatalf("answer %d %s is no error: %v", r.StatusCode, r.body, err)
	}
	return e.Message
}

// wantStatus fails unless the answer has the status.
func (r reply) wantStatus(t *testing.T, want int) {
	t.Helper()
	if r.StatusCode != want {
		t.Fatalf("answer = %d %s, want %d", r.StatusCode, r.body, want)
	}
}

// TestClosedLists checks that every state and reason of a push is in the contract and in the documentation, and has a text on the page.
func TestClosedLists(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	docs, page := readText(t, "../../docs/rest.md"), readText(t, "../../web/pages/words.ts")
	for state := transponder.Starting; state <= transponder.Failed; state++ {
		if !slices.Contains(c.doc.Components.Schemas["PushStatus"].Value.Enum, any(state.String())) {
			t.Errorf("the contract does not have the status %s", state)
		}
		if !strings.Contains(docs, "`"+state.String()+"`") || !strings.Contains(page, `case "`+state.String()+`"`) {
			t.Errorf("the documentation or the page does not have the status %s", state)
		}
	}
	files, err := filepath.Glob("../transponder/*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range files {
		source.WriteString(readText(t, file))
	}
	reasons := regexp.MustCompile(`Reason\w+ +Reason = "(\w+)"`).FindAllStringSubmatch(source.String(), -1)
	if len(reasons) < 20 {
		t.Fatalf("%d reasons were found", len(reasons))
	}
	documented := documentedClasses(docs)
	for _, m := range reasons {
		if !slices.Contains(c.doc.Components.Schemas["PushReason"].Value.Enum, any(m[1])) {
			t.Errorf("the contract does not have the reason %s", m[1])
		}
		if !strings.Contains(page, "\n  "+m[1]+": {") {
			t.Errorf("the page does not have the reason %s", m[1])
		}
		class := transponder.Reason(m[1]).Class()
		if class == "" || !slices.Contains(c.doc.Components.Schemas["PushReasonClass"].Value.Enum, any(string(class))) {
			t.Errorf("%s is of class %q, which the contract does not have", m[1], class)
		}
		if documented[m[1]] != string(class) {
			t.Errorf("%s is documented as %q, want %q", m[1], documented[m[1]], class)
		}
	}
	if more := len(c.doc.Components.Schemas["PushReason"].Value.Enum) - 1; more != len(reasons) || len(documented) != len(reasons) {
		t.Errorf("the contract has %d reasons and the documentation %d, want the %d that there are", more, len(documented), len(reasons))
	}
}

// TestClosedListsOfChecks checks the same for the steps and the findings of a check.
func TestClosedListsOfChecks(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	docs := readText(t, "../../docs/rest.md")
	hold := func(schema string, words []string) {
		var enum []string
		for _, v := range c.doc.Components.Schemas[schema].Value.Enum {
			enum = append(enum, v.(string))
		}
		if !slices.Equal(enum, words) {
			t.Errorf("%s has %v, want %v", schema, enum, words)
		}
		for _, w := range words {
			if !strings.Contains(docs, "`"+w+"`") {
				t.Errorf("the documentation does not have %s", w)
			}
		}
	}
	var steps, codes []string
	for _, s := range transponder.CheckSteps() {
		steps = append(steps, string(s))
	}
	for _, code := range transponder.FindingCodes() {
		codes = append(codes, string(code))
	}
	hold("CheckStep", steps)
	hold("FindingCode", codes)
	hold("CheckResult", []string{string(transponder.CheckOK), string(transponder.CheckFailed), string(transponder.CheckSkipped)})
}

// TestClosedListsOfCalls checks the same for calls: the contract, the documentation and the console know each status and reason.
func TestClosedListsOfCalls(t *testing.T) {
	c, err := loadContract()
	if err != nil {
		t.Fatal(err)
	}
	docs, page, source := readText(t, "../../docs/sip.md"), readText(t, "../../web/pages/words.ts"), readText(t, "../sip/dialog/status.go")
	for _, list := range []struct{ schema, pattern, onPage string }{
		{"CallStatus", `\w+ +(?:Status )? *= "([A-Z_]+)"`, `case "%s"`},
		{"CallReason", `Reason\w+ +Reason = "(\w+)"`, "\n  %s: "},
	} {
		words := regexp.MustCompile(list.pattern).FindAllStringSubmatch(source, -1)
		enum := slices.DeleteFunc(slices.Clone(c.doc.Components.Schemas[list.schema].Value.Enum), func(v any) bool { return v == "" })
		if len(words) < 10 || len(enum) != len(words) {
			t.Errorf("%d words were found for %s, which has %d", len(words), list.schema, len(enum))
		}
		for _, m := range words {
			if !slices.Contains(enum, any(m[1])) {
				t.Errorf("%s lacks %s", list.schema, m[1])
			}
			if !strings.Contains(docs, "`"+m[1]+"`") || !strings.Contains(page, fmt.Sprintf(list.onPage, m[1])) {
				t.Errorf("the documentation or the page does not have %s", m[1])
			}
		}
	}
}

// readText returns the text of a file of the repository.
func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documentedClasses reads the table of reasons in docs/rest.md.
func documentedClasses(docs string) map[string]string {
	_, table, _ := strings.Cut(docs, "| `reason` | `reasonClass` | meaning |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	classes := map[string]string{}
	for row := range strings.Lines(table) {
		cells := strings.Split(row, "|")
		for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cells[1], -1) {
			classes[name[1]] = strings.Trim(cells[2], " `")
		}
	}
	return classes
}
