package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"transponder/api"
	"transponder/pkg/client/generate"
)

// example returns a value that has every member that a schema describes.
func example(schema *openapi3.Schema) any {
	switch {
	case len(schema.AnyOf) > 0:
		return example(schema.AnyOf[0].Value)
	case len(schema.AllOf) > 0 && schema.AllOf[0].Value.Properties == nil:
		return example(schema.AllOf[0].Value)
	case len(schema.Enum) > 0:
		i := slices.IndexFunc(schema.Enum, func(v any) bool { return v != "" })
		return schema.Enum[i]
	case schema.Format == "date-time":
		return "2026-09-01T12:00:00.123Z"
	case schema.Type.Is("string"):
		return "some text"
	case schema.Type.Is("boolean"):
		return true
	case schema.Type.Is("integer"), schema.Type.Is("number"):
		return 7.0
	case schema.Type.Is("array"):
		return []any{example(schema.Items.Value)}
	}
	all := map[string]any{}
	for name, p := range schema.Properties {
		all[name] = example(p.Value)
	}
	for _, part := range schema.AllOf {
		for name, v := range example(part.Value).(map[string]any) {
			all[name] = v
		}
	}
	return all
}

// bodyOf returns an example of the JSON in a content, nil if there is none.
func bodyOf(content openapi3.Content) any {
	if media := content.Get("application/json"); media != nil {
		return example(media.Schema.Value)
	}
	return nil
}

// strict decodes JSON, and fails if the value has no field for a member.
func strict(data []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	return d.Decode(to)
}

func toJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sameJSON says whether two texts are the same JSON, whatever the order of members.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	for text, to := range map[*[]byte]*any{&a: &x, &b: &y} {
		if err := json.Unmarshal(*text, to); err != nil {
			t.Fatalf("%s: %v", *text, err)
		}
	}
	return reflect.DeepEqual(x, y)
}

// Each operation of the contract has a method. What the method sends is what the contract allows, with every member that the contract has, and
// every member of the answer arrives.
func TestWholeContract(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(api.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	doc.Servers = openapi3.Servers{{URL: prefix}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	var called string
	var sent []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		route, params, err := router.FindRoute(r)
		if err != nil {
			t.Errorf("%s %s is not in the contract", r.Method, r.URL)
			return
		}
		called = route.Operation.OperationID
		if sent, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
		if err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
			Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
		}); err != nil {
			t.Errorf("%s: %v", called, err)
		}
		if body := bodyOf(route.Operation.Responses.Value("200").Value.Content); body != nil {
			_, _ = w.Write(toJSON(t, body))
		}
	}))
	defer srv.Close()
	c, err := New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	skipped := generate.Reasons()
	methods := reflect.TypeFor[*Client]()
	for path, item := range doc.Paths.Map() {
		for verb, op := range item.Operations() {
			if why := skipped[op.OperationID]; why != "" {
				delete(skipped, op.OperationID)
				continue
			}
			if verb == http.MethodPost && item.Get != nil && op.RequestBody != nil && op.RequestBody.Ref == "#/components/requestBodies/Ignored" {
				continue // the list that GET returns
			}
			i := slices.IndexFunc(slices.Collect(methods.Methods()), func(m reflect.Method) bool { return strings.EqualFold(m.Name, op.OperationID) })
			if i < 0 {
				t.Errorf("%s %s: Client has no method %s", verb, path, op.OperationID)
				continue
			}
			method := reflect.ValueOf(c).Method(i)
			var want any = map[string]any{}
			if op.RequestBody != nil && op.RequestBody.Ref != "#/components/requestBodies/Ignored" {
				want = bodyOf(op.RequestBody.Value.Content)
			}
			args := []reflect.Value{reflect.ValueOf(t.Context())}
			for n := 1; n < method.Type().NumIn(); n++ {
				arg := reflect.New(method.Type().In(n)).Elem()
				switch {
				case arg.Type() == reflect.TypeFor[Page]():
					arg.Set(reflect.ValueOf(Page{7, "some text"}))
				case arg.Kind() == reflect.String:
					arg.SetString("some text")
				case arg.Kind() == reflect.Int:
					arg.SetInt(7)
				default:
					if err := strict(toJSON(t, want), arg.Addr().Interface()); err != nil {
						t.Errorf("%s has no field for what the contract has: %v", arg.Type(), err)
					}
				}
				args = append(args, arg)
			}
			called, sent = "", nil
			results := method.Call(args)
			if err := results[len(results)-1]; !err.IsNil() {
				t.Errorf("%s: %v", op.OperationID, err)
			}
			if called != op.OperationID {
				t.Errorf("%s calls %s", op.OperationID, called)
			}
			if verb == http.MethodPost && !sameJSON(t, sent, toJSON(t, want)) {
				t.Errorf("%s sends\n%s, want\n%s", op.OperationID, sent, toJSON(t, want))
			}
			answer := bodyOf(op.Responses.Value("200").Value.Content)
			if (answer != nil) != (len(results) == 2) {
				t.Errorf("%s returns %d values", op.OperationID, len(results))
			} else if answer != nil {
				if got := toJSON(t, results[0].Interface()); !sameJSON(t, got, toJSON(t, answer)) {
					t.Errorf("%s returns\n%s, want\n%s", op.OperationID, got, toJSON(t, answer))
				}
			}
		}
	}
	for name := range skipped {
		t.Errorf("%s is not in the contract any more", name)
	}
}

func TestCredentials(t *testing.T) {
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, "[]")
	}))
	defer srv.Close()
	for _, tt := range []struct {
		name    string
		options []Option
		want    string
	}{
		{"none", nil, ""},
		{"a token", []Option{WithToken("tpk_x")}, "Bearer tpk_x"},
		{"a password", []Option{WithPassword("ann", "s3cret")}, "Basic YW5uOnMzY3JldA=="},
	} {
		c, err := New(srv.URL, tt.options...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.FindAllPushes(t.Context(), Page{}); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, tt := range []struct {
		address string
		options []Option
		ok      bool
	}{
		{"https://live.example.com:8444", nil, true},
		{"http://live.example.com:8081", nil, true},
		{"http://live.example.com:8081", []Option{WithToken("x")}, false},
		{"http://live.example.com:8081", []Option{WithToken("x"), WithPlainHTTP()}, true},
		{"http://[::1]:8081", []Option{WithToken("x")}, true},
		{"http://localhost:8081", []Option{WithPassword("a", "b")}, true},
		{"https://ann:s3cret@live.example.com", nil, false},
		{"live.example.com", nil, false},
		{"ftp://live.example.com", nil, false},
	} {
		if _, err := New(tt.address, tt.options...); (err == nil) != tt.ok || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", tt.address, err)
		}
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		status       int
		want         string
	}{
		{"an error of the server", `{"message":"Transponder not found","error":"Not Found","status":404}`, 404, "Transponder not found"},
		{"an error of a proxy", "<html>", 502, "the server has answered 502 Bad Gateway"},
		{"a redirect", "", 302, "the server has answered 302 Found"},
		{"no JSON", "<html>", 200, "something else than a Transponder"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "10")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.answer)
		}))
		c, err := New(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.FindAllPushes(t.Context(), Page{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || tt.status != 200 && Status(err) != tt.status {
			t.Errorf("%s: %v with status %d, want %s", tt.name, err, Status(err), tt.want)
		}
		srv.Close()
		var away *UnreachableError
		if _, err = c.FindAllPushes(t.Context(), Page{}); !errors.As(err, &away) || strings.Contains(away.Err.Error(), "rest-api") {
			t.Errorf("%s: %v without a server", tt.name, err)
		}
	}
}

func TestContextEndsRequests(t *testing.T) {
	stay := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stay }))
	defer srv.Close()
	defer close(stay)
	c, err := New(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.TerminatePush(ctx, "x"); err == nil {
		t.Error("a request outlives its context")
	}
}
