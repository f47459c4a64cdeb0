package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5" // the contract demands HMAC-MD5
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	maxAnswer  = 1 << 20
	maxDepth   = 32
	maxMembers = 1000

	// dialTimeout is how long connecting to a backend may take.
	dialTimeout = 10 * time.Second
	// idleTimeout is how long a connection to a backend is kept. Web servers close theirs after a minute or later; PHP-FPM behind Apache
	// after 5 s, which the transport notices.
	idleTimeout = 30 * time.Second
)

// newTransport makes the transport for all backends. It uses no proxy from the environment: the operator has written where hooks go.
func newTransport(cfg Config) (*http.Transport, error) {
	var certificates []tls.Certificate
	if cfg.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("rest_hook_cert_file: %w", err)
		}
		certificates = []tls.Certificate{pair}
	}
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, Certificates: certificates, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		MaxIdleConns:           cfg.MaxConnections,
		MaxIdleConnsPerHost:    mostUnderWay,
		IdleConnTimeout:        idleTimeout,
		DisableCompression:     true, // the limit of the answer is the limit of what was sent
		MaxResponseHeaderBytes: 64 << 10,
	}, nil
}

// request is one hook to be sent.
type request struct {
	app    *App
	method Method
	body   []byte
	id     string // of the request, for the backend's log and ours

	patient bool // no client waits for it
}

// post sends a hook and returns the object in the answer, nil if the answer is empty. ctx limits it.
func (h *Hooks) post(ctx context.Context, q request) (Object, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(q.app.URL, "/")+"/"+string(q.method), bytes.NewReader(q.body))
	if err != nil {
		return nil, errors.New("no answer: the url of the app cannot be used")
	}
	r.Header = h.header(q)
	answer, err := h.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", withoutURL(err))
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case answer.StatusCode/100 != 2: // whatever the rest
		return nil, statusError(answer.StatusCode)
	case err != nil:
		return nil, fmt.Errorf("no answer: %w", withoutURL(err))
	case len(text) > maxAnswer:
		return nil, errTooBig
	}
	return parseAnswer(text)
}

func (h *Hooks) header(q request) http.Header {
	header := http.Header{}
	header.Set("Accept", "application/json")
	header.Set("Content-Type", "application/json;charset=UTF-8")
	header.Set("User-Agent", "Transponder")
	header.Set("X-Transponder-Request", q.id)
	switch {
	case h.cfg.SendHash:
		header.Set("Authorization", "WCS "+hash(string(h.cfg.Secret), q.body))
	case q.app.Username != "":
		r := http.Request{Header: header}
		r.SetBasicAuth(q.app.Username, string(q.app.Password))
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	header.Set("X-Transponder-Timestamp", timestamp)
	if h.cfg.Secret != "" {
		header.Set("X-Transponder-Signature", "sha256="+signature(string(h.cfg.Secret), timestamp, q.body))
	}
	return header
}

// hash returns the HMAC-MD5 of the body, as the contract has it.
func hash(secret string, body []byte) string {
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// signature returns the HMAC-SHA-256 of the timestamp, a dot and the body, as in push hooks. A backend may refuse old timestamps.
func signature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// parseAnswer reads the object of an answer. An empty answer is no object: nothing changes.
func parseAnswer(text []byte) (Object, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil
	}
	if err := checkNesting(text); err != nil {
		return nil, err
	}
	var o Object
	if json.Unmarshal(text, &o) != nil {
		// json_encode of an empty array in PHP is [], which means no members.
		var list []json.RawMessage
		if json.Unmarshal(text, &list) == nil && len(list) == 0 {
			return nil, nil
		}
		return nil, errAnswer
	}
	return o, nil
}

// checkNesting refuses texts whose values would cost far more than their bytes.
func checkNesting(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	depth, values := 0, 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errAnswer
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
			continue
		}
		// A member has two tokens, its name and its value.
		if values++; depth > maxDepth || values > 2*maxMembers {
			return errNested
		}
	}
}

// withoutURL removes the address from an error of the HTTP client.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
