package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/transcode/mediafile"
)

// Media are the files of media_dir. mediafile.Folder is one.
type Media interface {
	List(ctx context.Context) (list []mediafile.File, more bool, err error)
	Open(name string) (*os.File, error)
	Put(name string, content io.Reader, replace bool) (mediafile.File, error)
	Remove(name string) error
}

// uploadTimeout is how long an upload may take: the largest file at 1.4 Mbit/s.
const uploadTimeout = 10 * time.Minute

// mediaRoutes serves the files of media_dir: whoever may push may hear and see them, as his pushes may play them; whoever may control all streams
// may change them.
func (s *Server) mediaRoutes() {
	if s.parts.Media == nil {
		return
	}
	s.method("/media/find_all", access.Push, s.findMedia, http.MethodGet, http.MethodPost)
	s.read("/media/download", access.Push, s.downloadMedia)
	s.handle("/media/upload", access.Control, []string{http.MethodPost}, func(w http.ResponseWriter, r *http.Request) {
		file, err := s.uploadMedia(w, r)
		if err != nil {
			s.fail(w, r, err)
		} else {
			s.answer(w, http.StatusOK, newMediaBody(file))
		}
		s.recordRequest(r, err)
	})
	s.method("/media/remove", access.Control, s.removeMedia, http.MethodPost)
}

// mediaBody is a file in an answer.
type mediaBody struct {
	Name     string         `json:"name"`
	Kind     mediafile.Kind `json:"kind"`
	Bytes    int64          `json:"bytes"`
	Modified int64          `json:"modified"`             // ms since 1970
	Duration int64          `json:"durationMs,omitempty"` // of a sound
	Width    int            `json:"width,omitempty"`      // of a picture
	Height   int            `json:"height,omitempty"`
	Fault    string         `json:"fault,omitempty"`
}

func newMediaBody(f mediafile.File) mediaBody {
	return mediaBody{
		Name: f.Name, Kind: f.Kind, Bytes: f.Bytes, Modified: f.Modified.UnixMilli(), Duration: f.Duration.Milliseconds(),
		Width: f.Width, Height: f.Height, Fault: f.Fault,
	}
}

// mediaList is the answer of find_all.
type mediaList struct {
	Files []mediaBody `json:"files"`
	More  bool        `json:"more"` // the folder has others, too
	// Change says whether the caller may upload and remove.
	Change bool `json:"change"`
}

func (s *Server) findMedia(ctx context.Context, _ *fields) (any, error) {
	files, more, err := s.parts.Media.List(ctx)
	if err != nil {
		return nil, mediaError(err)
	}
	list := mediaList{Files: []mediaBody{}, More: more, Change: mayChangeMedia(principalOf(ctx))}
	for _, f := range files {
		list.Files = append(list.Files, newMediaBody(f))
	}
	return list, nil
}

// mayChangeMedia says whether somebody may change the folder: its files are for everybody's pushes, so he must be allowed to control all streams.
func mayChangeMedia(p *access.Principal) bool {
	return !isLetIn(p) && access.Decide(p, access.Control, access.Object{}) == nil
}

func (s *Server) admitMediaChange(ctx context.Context) error {
	if isLetIn(principalOf(ctx)) {
		return errLasting
	}
	return s.authorize(ctx, access.Control, access.Object{})
}

func (s *Server) downloadMedia(w http.ResponseWriter, r *http.Request) error {
	name := r.URL.Query().Get("name")
	f, err := s.parts.Media.Open(name)
	if err != nil {
		return mediaError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return mediaError(err)
	}
	h := w.Header()
	h.Set("Content-Type", mediafile.Type(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox") // uploaded by somebody: it never runs as a page
	h.Set("Cache-Control", "private, no-cache")
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}

func (s *Server) uploadMedia(w http.ResponseWriter, r *http.Request) (mediafile.File, error) {
	query := r.URL.Query()
	name := query.Get("name")
	note(r.Context(), func(l *audit.Line) { l.Object = shorten(name) })
	if err := s.admitMediaChange(r.Context()); err != nil {
		return mediafile.File{}, err
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); strings.HasPrefix(kind, "multipart/") || r.Header.Get("Content-Encoding") != "" {
		return mediafile.File{}, refusal{http.StatusUnsupportedMediaType, "send the bytes of the file as the body: no form, and not compressed"}
	}
	replace := query.Get("replace")
	if replace != "" && replace != "true" && replace != "false" {
		return mediafile.File{}, refusal{http.StatusBadRequest, "replace: it must be true or false"}
	}
	body := &upload{r: http.MaxBytesReader(w, r.Body, mediafile.MaxBytes+1), conn: http.NewResponseController(w), until: time.Now().Add(uploadTimeout)}
	defer func() { _ = body.conn.SetReadDeadline(time.Time{}) }() // one that passes later cancels the request
	file, err := s.parts.Media.Put(name, body, replace == "true")
	if err != nil {
		// A client that is answered while it sends takes the answer for a lost connection.
		_, _ = io.Copy(io.Discard, body)
		return mediafile.File{}, mediaError(err)
	}
	s.log.Info("file uploaded", "file", name, "bytes", file.Bytes)
	return file, nil
}

// upload is the body of an upload. Each read has a deadline of its own, and all have one.
type upload struct {
	r     io.Reader
	conn  *http.ResponseController
	until time.Time
}

func (u *upload) Read(b []byte) (int, error) {
	limit := time.Now().Add(bodyTimeout)
	if limit.After(u.until) {
		limit = u.until
	}
	_ = u.conn.SetReadDeadline(limit) // not every ResponseWriter has deadlines
	return u.r.Read(b)
}

func (s *Server) removeMedia(ctx context.Context, f *fields) (any, error) {
	name := f.required("name")
	if f.err != nil {
		return nil, f.err
	}
	aboutObject(ctx, shorten(name))
	if err := s.admitMediaChange(ctx); err != nil {
		return nil, err
	}
	return nil, mediaError(s.parts.Media.Remove(name))
}

// mediaError returns the refusal for an error of Media.
func mediaError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, mediafile.ErrNotFound):
		return refusal{http.StatusNotFound, "No such file"}
	case errors.Is(err, mediafile.ErrName), errors.Is(err, mediafile.ErrContent):
		return refusal{http.StatusBadRequest, err.Error()}
	case errors.Is(err, mediafile.ErrExists):
		return refusal{http.StatusConflict, err.Error() + "; with replace=true the new one takes its place"}
	case errors.Is(err, mediafile.ErrTooLarge), errors.As(err, &tooLarge):
		return refusal{http.StatusRequestEntityTooLarge, mediafile.ErrTooLarge.Error()}
	case errors.Is(err, mediafile.ErrMany):
		return refusal{http.StatusConflict, err.Error()}
	case errors.Is(err, mediafile.ErrBusy):
		return refusal{http.StatusServiceUnavailable, err.Error()}
	case errors.Is(err, mediafile.ErrDisk):
		return refusal{http.StatusInsufficientStorage, err.Error()}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refusal{http.StatusRequestTimeout, fmt.Sprintf("no bytes of the file came within %v, or not all within %v", bodyTimeout, uploadTimeout)}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refusal{http.StatusBadRequest, "the body ended before its announced length"}
	}
	return err
}
