package dialog

import (
	"slices"
	"strings"
	"time"
)

// transactionTimeout is how long a request waits for a response: 64 times T1 (RFC 3261, 17.1.1.2).
const transactionTimeout = 32 * time.Second

// Credentials answer the challenges of one account.
type Credentials interface {
	// Authorize returns the value of Authorization or Proxy-Authorization for a request. The challenges are the values of all fields
	// WWW-Authenticate or Proxy-Authenticate: it answers the strongest that it knows, and fails if it knows none.
	Authorize(challenges []string, method, uri string, body []byte) (string, error)
}

// transaction is a request of ours that waits for a final response.
type transaction struct {
	request    *Request
	dialog     *dialog
	deadline   time.Time // zero: something else limits the wait
	challenges []int     // the codes that were answered with credentials: 401, 407
	done       func(now time.Time, r *Response)
}

// matches reports whether the response is for this request: by CSeq, and in a dialog by the tag of the peer.
func (t *transaction) matches(r *Response) bool {
	number, method := r.Header.cseq()
	ours, _ := t.request.Header.cseq()
	return number == ours && method == t.request.Method && (t.dialog.tag == "" || r.Header.tag("To") == t.dialog.tag)
}

// authorize returns the request again with credentials, or nil if r is no challenge or must not be answered. A password that was refused
// once is not sent again, because accounts get locked: a second answer is only for a nonce that became stale, or for the server behind a
// proxy.
func (t *transaction) authorize(r *Response, credentials Credentials) *Request {
	from, to := "WWW-Authenticate", "Authorization"
	switch r.Code {
	case 401:
	case 407:
		from, to = "Proxy-Authenticate", "Proxy-Authorization"
	default:
		return nil
	}
	challenges := r.Header.Fields(from)
	refused := slices.Contains(t.challenges, r.Code) && !slices.ContainsFunc(challenges, isStale)
	if credentials == nil || refused || len(t.challenges) == 2 {
		return nil
	}
	value, err := credentials.Authorize(challenges, t.request.Method, t.request.URI, t.request.Body)
	if err != nil {
		return nil
	}
	t.challenges = append(t.challenges, r.Code)
	request := t.request.clone()
	request.Header.set(to, value)
	return request
}

func isStale(challenge string) bool {
	_, params, _ := strings.Cut(strings.TrimSpace(challenge), " ")
	return strings.EqualFold(Address{params: split(params, ',')}.Param("stale"), "true")
}

// unanswered stands for the response that did not come.
func (t *transaction) unanswered(code int, phrase string) *Response {
	return &Response{Code: code, Phrase: phrase, Header: Header{{"CSeq", t.request.Header.Get("CSeq")}}, unanswered: true}
}
