package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/people"
	"transponder/internal/access/token"
	"transponder/internal/load"
	"transponder/internal/sip"
	"transponder/internal/state"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture"
	"transponder/internal/transcode/soundfile"
	"transponder/internal/transponder"
)

// refusal is an error of this package, with the status of its answer.
type refusal struct {
	status  int
	message string
}

// Error returns the message for the caller.
func (r refusal) Error() string { return r.message }

var (
	errNoPush   = refusal{http.StatusNotFound, "Transponder not found"}
	errNoStream = refusal{http.StatusNotFound, "Stream not found"}
)

// isNothing says whether a request found nothing. The contract answers that with 404.
func isNothing(err error) bool {
	return err == errNoPush || err == errNoStream || err == errNoConnection || err == errNoCall || err == errNoUser || err == errNoSession || err == errNoDestination
}

// outcome returns the status and the message of the answer for an error.
func outcome(err error) (status int, message string) {
	var own refusal
	var bad *transponder.RequestError
	var badCall *sip.RequestError
	var badUser *people.RequestError
	var busy *picture.BusyError
	var denied *access.Denied
	var badCredential *access.BadCredential
	var tries *access.TooMany
	var full *access.Full
	var badToken *token.RequestError
	var disk *state.WriteError
	var settings SettingsError
	switch {
	case errors.As(err, &denied):
		return http.StatusForbidden, denied.Error()
	case errors.Is(err, access.ErrNone), errors.As(err, &badCredential):
		return http.StatusUnauthorized, err.Error()
	case errors.As(err, &tries):
		return http.StatusTooManyRequests, tries.Error()
	case errors.As(err, &full): // as WHIP says it
		return http.StatusTooManyRequests, full.Error()
	case errors.As(err, &own):
		return own.status, own.message
	case errors.As(err, &bad):
		return http.StatusBadRequest, bad.Error()
	case errors.As(err, &settings):
		return http.StatusBadRequest, settings.Error()
	case errors.As(err, &badToken):
		return http.StatusBadRequest, badToken.Error()
	case errors.Is(err, token.ErrNoKey):
		return http.StatusNotFound, "Key not found"
	case errors.Is(err, token.ErrTooManyOwn):
		return http.StatusConflict, err.Error()
	case errors.Is(err, token.ErrTooMany):
		return http.StatusServiceUnavailable, err.Error()
	case errors.As(err, &disk):
		return http.StatusInsufficientStorage, err.Error()
	case errors.Is(err, state.ErrAway):
		return http.StatusServiceUnavailable, state.ErrAway.Error()
	case errors.Is(err, people.ErrChanged):
		return http.StatusConflict, err.Error()
	case errors.As(err, &badUser):
		return http.StatusBadRequest, badUser.Error()
	case errors.Is(err, people.ErrNoUser):
		return errNoUser.status, errNoUser.message
	case errors.Is(err, people.ErrNoSession):
		return errNoSession.status, errNoSession.message
	case errors.Is(err, people.ErrUserExists), errors.Is(err, people.ErrInFile), errors.Is(err, people.ErrLastAdmin), errors.Is(err, people.ErrTooManyUsers):
		return http.StatusConflict, err.Error()
	case errors.As(err, &badCall):
		return http.StatusBadRequest, badCall.Error()
	case errors.Is(err, stream.ErrName):
		return http.StatusBadRequest, "toStream: " + err.Error()
	case errors.Is(err, sip.ErrPolicy):
		return http.StatusForbidden, err.Error()
	case errors.Is(err, transponder.ErrStreamNotFound), errors.Is(err, sip.ErrNoStream):
		return errNoStream.status, errNoStream.message
	case errors.Is(err, sip.ErrNoCall):
		return errNoCall.status, errNoCall.message
	case errors.Is(err, transponder.ErrNotFound):
		return errNoPush.status, errNoPush.message
	case errors.Is(err, soundfile.ErrNotFound), errors.Is(err, sip.ErrNoFile):
		return http.StatusNotFound, "No such file"
	case errors.Is(err, soundfile.ErrUnplayable):
		return http.StatusBadRequest, "soundFile: " + err.Error()
	case errors.Is(err, picture.ErrDisabled):
		return http.StatusBadRequest, picture.ErrDisabled.Error()
	case errors.As(err, &busy):
		return http.StatusServiceUnavailable, busy.Error()
	case errors.Is(err, transponder.ErrDuplicate), errors.Is(err, transponder.ErrNotKept), errors.Is(err, sip.ErrCallID), errors.Is(err, sip.ErrPushed),
		errors.Is(err, sip.ErrState), errors.Is(err, stream.ErrNameInUse):
		return http.StatusConflict, err.Error()
	case errors.Is(err, transponder.ErrUnsupported), errors.Is(err, sip.ErrOff):
		return http.StatusNotImplemented, err.Error()
	case errors.Is(err, load.ErrFull), errors.Is(err, sip.ErrTooMany), errors.Is(err, transponder.ErrIsolated):
		return http.StatusServiceUnavailable, err.Error()
	case errors.Is(err, transponder.ErrStopping), errors.Is(err, sip.ErrStopping), errors.Is(err, context.Canceled):
		return http.StatusServiceUnavailable, transponder.ErrStopping.Error()
	default:
		return http.StatusInternalServerError, "the server failed to do this; its log says why"
	}
}

// errorBody is the answer to a request that failed. Exception and Reason are for clients that look for them; the other members are the
// contract.
type errorBody struct {
	Exception string `json:"exception"`
	Reason    string `json:"reason"`
	Path      string `json:"path"`
	Error     string `json:"error"`
	Message   string `json:"message"`
	Timestamp int64  `json:"timestamp"`
	Status    int    `json:"status"`
}

func newErrorBody(path string, status int, message string, now time.Time) errorBody {
	text := http.StatusText(status)
	exception := strings.ReplaceAll(text, " ", "") + "Exception"
	return errorBody{
		Exception: exception,
		Reason:    fmt.Sprintf("%s, %s, %s, %d", text, exception, message, now.UnixMilli()),
		Path:      path,
		Error:     text,
		Message:   message,
		Timestamp: now.UnixMilli(),
		Status:    status,
	}
}

// retryAfter is how many seconds a client should wait that was refused because the server is full.
const retryAfter = "10"

// fail answers a request with an error. Faults of this server are logged as errors. Others are logged at debug, without the message,
// which may contain what the caller sent.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, message := outcome(err)
	if status == http.StatusInternalServerError {
		s.log.Error("rest request failed", "path", r.URL.Path, "err", err)
	} else {
		s.log.Debug("rest request refused", "path", r.URL.Path, "peer", r.RemoteAddr, "status", status)
	}
	var tries *access.TooMany
	if errors.As(err, &tries) {
		retryIn(w.Header(), tries.Wait)
	}
	switch status {
	case http.StatusUnauthorized:
		challenge(w.Header(), r, err)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if tries == nil {
			w.Header().Set("Retry-After", retryAfter)
		}
	case http.StatusUnsupportedMediaType:
		w.Header().Set("Accept-Encoding", "gzip") // RFC 9110, 12.5.3
	}
	s.answer(w, status, newErrorBody(r.URL.Path, status, message, time.Now()))
}
