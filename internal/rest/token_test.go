package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/auth"
	"transponder/internal/access/token"
	"transponder/internal/state"
)

// docTokens answers like the server in the document: it makes the same token and the same key each time.
type docTokens struct{}

var docKey = token.Key{
	ID: "b7ae3k2m5q6x", Label: "OBS in the hall", Owner: "user:ann", Stream: "hall-1", Created: pushTime,
	Grants: []access.Grant{{Actions: []access.Action{access.Publish}, Streams: []string{"hall-1"}}},
}

func (docTokens) Create(context.Context, *access.Principal, token.Request) (token.Minted, error) {
	return token.Minted{Token: "eyJhbGciOiJFZERTQSIs…", ID: "nkq5yc3zvxw6h2mldu4r7taeob", Expires: pushTime}, nil
}

func (docTokens) Revoke(context.Context, *access.Principal, token.Revocation) error { return nil }

func (docTokens) Revocations() []token.Revocation {
	return []token.Revocation{{Sub: "user-17", Before: pushTime, At: pushTime, By: "local"}}
}

func (docTokens) CreateKey(context.Context, *access.Principal, token.KeyRequest) (token.Key, access.Secret, error) {
	return docKey, "tpk_…", nil
}

func (docTokens) RemoveKey(context.Context, *access.Principal, string) error { return nil }

func (docTokens) Keys(*access.Principal) []token.Key {
	k := docKey
	k.LastUsed, k.LastFrom = pushTime, netip.MustParseAddr("192.0.2.7")
	return []token.Key{k}
}

// lines keeps what is recorded.
type lines struct{ all []audit.Line }

func (l *lines) Note(line audit.Line) { l.all = append(l.all, line) }

// tokenServer is a server that asks everybody for a credential, and the token of an administrator.
func tokenServer(t *testing.T) (srv *httptest.Server, admin string, log *lines) {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := state.Memory(t.Context(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	leases := access.NewLeases()
	tokens, err := token.New(t.Context(), token.DefaultConfig(), token.Parts{Keeper: store, Sealer: store.Sealer(), Leases: leases}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	log = &lines{}
	who := auth.New(auth.Config{Mode: auth.Closed}, auth.Parts{Tokens: tokens, Leases: leases, Recorder: log}, quiet)
	made, err := tokens.Create(t.Context(), access.Whole(access.Local), token.Request{
		Subject: "root", Grants: []access.Grant{{Actions: []access.Action{access.Admin}, Streams: []string{"*"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, DefaultConfig(), Parts{Tokens: tokens, Access: who}), string(made.Token), log
}

// ask sends a body with a bearer token, "" for none.
func ask(t *testing.T, srv *httptest.Server, bearer, path, body string) reply {
	t.Helper()
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	r := newRequest(t, srv, method, path, body)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	return send(t, srv, r)
}

// decoded returns the body of an answer that must be 200.
func decoded[T any](t *testing.T, r reply) (v T) {
	t.Helper()
	r.wantStatus(t, http.StatusOK)
	if err := json.Unmarshal(r.body, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTokens(t *testing.T) {
	srv, admin, log := tokenServer(t)
	const make = "/rest-api/token/create"

	// An administrator makes a token of an operator, who makes one for a camera.
	operator := decoded[tokenBody](t, ask(t, srv, admin, make, `{"grants":[{"actions":["control","publish","play"],"streams":["acme/*"]}],"subject":"op","expiresIn":"600"}`))
	if left := time.Until(time.UnixMilli(operator.ExpiresAt)); left < 590*time.Second || left > 600*time.Second {
		t.Errorf("it expires in %v", left)
	}
	camera := decoded[tokenBody](t, ask(t, srv, operator.Token, make, `{"grants":[{"actions":["publish"],"streams":["acme/cam"],"replace":false}],"once":false,"limits":{"publishers":1}}`))
	for _, test := range []struct {
		bearer, path, body string
		status             int
		words              string
	}{
		{"", make, `{}`, 401, "a valid token, key or password is needed"},
		{"garbage", make, `{}`, 401, "a valid token, key or password is needed"},
		{camera.Token, make, `{"grants":[{"actions":["publish"],"streams":["acme/cam"]}]}`, 403, "control"},
		{camera.Token, "/rest-api/key/find_all", `{}`, 403, "control"},
		{operator.Token, make, `{"grants":[{"actions":["publish"],"streams":["*"]}]}`, 403, "nobody gives more than he has"},
		{operator.Token, make, `{"grants":[{"actions":["admin"],"streams":["acme/*"]}]}`, 403, "nobody gives more than he has"},
		{operator.Token, make, `{"grants":[{"actions":["publish"],"streams":["acme/x"]}],"subject":"root"}`, 403, "another subject"},
		{operator.Token, "/rest-api/token/revoke", `{"sub":"root"}`, 403, "admin"},
		{operator.Token, "/rest-api/token/revocations", ``, 403, "admin"},
		{admin, make, `{}`, 400, "grants: they are missing"},
		{admin, make, `{"grants":{}}`, 400, "grants: "},
		{admin, make, `{"grants":[{"actions":["publish"],"stream":"x"}]}`, 400, `unknown field "stream"`},
		{admin, make, `{"grants":[{"actions":["fly"]}]}`, 400, `unknown action "fly"`},
		{admin, make, `{"grants":[{"actions":["play"]}],"expiresIn":90000}`, 400, "expiresIn: it must be from 1 to 86400 seconds"},
		{admin, make, `{"grants":[{"actions":["play"]}],"until":1.5}`, 400, "until: it must be a time in milliseconds"},
		{admin, make, `{"grants":[{"actions":["play"]}],"until":1e300}`, 400, "until: it must be a time in milliseconds"},
		{admin, make, `{"grants":[{"actions":["play"]}],"limits":{"players":-1}}`, 400, "limit"},
		{admin, "/rest-api/token/revoke", `{}`, 400, "jti: one of jti, sub and kid"},
		{admin, "/rest-api/token/revoke", `{"jti":"a","sub":"b"}`, 400, "jti: one of jti, sub and kid"},
		{admin, "/rest-api/key/remove", `{"id":"nothing"}`, 404, "Key not found"},
	} {
		got := ask(t, srv, test.bearer, test.path, test.body)
		if got.StatusCode != test.status || !strings.Contains(got.message(t), test.words) {
			t.Errorf("%s %s: %d %s, want %d with %q", test.path, test.body, got.StatusCode, got.body, test.status, test.words)
		}
	}

	// The operator is revoked: the holder learns it.
	ask(t, srv, admin, "/rest-api/token/revoke", fmt.Sprintf(`{"jti":%q}`, operator.JTI)).wantStatus(t, http.StatusOK)
	got := ask(t, srv, operator.Token, make, `{}`)
	if got.StatusCode != http.StatusUnauthorized || got.message(t) != "this token was revoked" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	list := decoded[[]revocationBody](t, ask(t, srv, admin, "/rest-api/token/revocations", ""))
	if len(list) != 1 || list[0].JTI != operator.JTI || list[0].By != "token::root" || list[0].At == 0 {
		t.Errorf("%+v", list)
	}

	written := ""
	for _, l := range log.all {
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		written += string(text) + "\n"
	}
	for _, want := range []string{`"do":"token/create","object":"jti ` + camera.JTI, `"do":"token/revoke","object":"jti ` + operator.JTI} {
		if !strings.Contains(written, want) {
			t.Errorf("the audit log lacks %s:\n%s", want, written)
		}
	}
	for _, secret := range []string{admin, operator.Token, camera.Token} {
		if strings.Contains(written, secret) {
			t.Error("the audit log has a token")
		}
	}
}

func TestKeys(t *testing.T) {
	srv, admin, log := tokenServer(t)
	operator := decoded[tokenBody](t, ask(t, srv, admin, "/rest-api/token/create", `{"grants":[{"actions":["control","publish"],"streams":["acme/*"]}],"subject":"op"}`))
	made := decoded[keyBody](t, ask(t, srv, operator.Token, "/rest-api/key/create", `{"label":"OBS","grants":[{"actions":["publish"],"streams":["acme/cam"]}],"stream":"acme/cam","limits":{"publishers":1}}`))
	if !strings.HasPrefix(made.Key, access.KeyPrefix) || made.Owner != "op" || made.ExpiresAt != operator.ExpiresAt || made.Stream != "acme/cam" || made.LastUsedAt != 0 {
		t.Errorf("%+v", made)
	}
	lasting := decoded[keyBody](t, ask(t, srv, admin, "/rest-api/key/create", `{"grants":[{"actions":["admin"],"streams":["*"]}]}`))
	if lasting.ExpiresAt != 0 {
		t.Errorf("%+v", lasting)
	}
	// The second key is an administrator's: he sees both, the operator his own, and nobody sees a key itself.
	all := ask(t, srv, lasting.Key, "/rest-api/key/find_all", `{}`)
	if list := decoded[[]keyBody](t, all); len(list) != 2 || list[0].Label != "OBS" || list[1].LastUsedAt == 0 || list[1].LastUsedFrom != "127.0.0.1" {
		t.Errorf("%+v", list)
	}
	if strings.Contains(string(all.body), made.Key) || strings.Contains(string(all.body), lasting.Key) {
		t.Error("a list has keys")
	}
	if list := decoded[[]keyBody](t, ask(t, srv, operator.Token, "/rest-api/key/find_all", "")); len(list) != 1 || list[0].ID != made.ID {
		t.Errorf("%+v", list)
	}
	if got := ask(t, srv, operator.Token, "/rest-api/key/remove", fmt.Sprintf(`{"id":%q}`, lasting.ID)); got.StatusCode != http.StatusNotFound {
		t.Errorf("an operator removes the key of an administrator: %d", got.StatusCode)
	}
	ask(t, srv, admin, "/rest-api/key/remove", fmt.Sprintf(`{"id":%q}`, lasting.ID)).wantStatus(t, http.StatusOK)
	ask(t, srv, lasting.Key, "/rest-api/key/find_all", `{}`).wantStatus(t, http.StatusUnauthorized)
	for _, l := range log.all {
		if text := fmt.Sprintf("%+v", l); strings.Contains(text, lasting.Key) || strings.Contains(text, made.Key) {
			t.Error("the audit log has a key")
		}
	}
}
