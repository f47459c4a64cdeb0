package transponder

import (
	"cmp"
	"errors"

	"transponder/internal/access"
)

// ErrNotKept means that a push cannot be started again by its id: what it was asked with is not known any more.
var ErrNotKept = errors.New("this server does not know any more how the push was asked for: start it anew with its address")

// Starter is who has asked for a push, and how.
type Starter struct {
	Kind access.Kind // "": the server itself
	Name string      // of the user, the sub of the token or the owner of the key; "": none
	Via  string      // such as ViaREST
}

func (r Request) starter() Starter {
	s := Starter{Via: cmp.Or(r.Via, ViaREST)}
	if r.By != nil {
		s.Kind, s.Name = r.By.Kind, r.By.Subject
	}
	return s
}

// Asked are the members of a request that Info has nowhere else. It has no secrets.
type Asked struct {
	TargetName       string  `json:",omitempty"`
	FullURL          *bool   `json:",omitempty"`
	FlashVersion     string  `json:",omitempty"`
	Width            int     `json:",omitempty"`
	Height           int     `json:",omitempty"`
	KeyFrameInterval int     `json:",omitempty"`
	FPS              float64 `json:",omitempty"`
}

func (r Request) asked() *Asked {
	return &Asked{r.TargetName, r.FullURL, r.FlashVersion, r.Width, r.Height, r.KeyFrameInterval, r.FPS}
}

// Again returns the request that asks for the same push once more, in the name of by. It fails with ErrNotKept.
func (i Info) Again(by *access.Principal) (Request, error) {
	a := i.Asked
	if a == nil || i.URL == "" { // of an older version of the server, or sealed with another key
		return Request{}, ErrNotKept
	}
	return Request{
		By: by, Via: ViaREST, StreamName: i.SourceName, TargetName: a.TargetName, URL: i.URL, FullURL: a.FullURL, FlashVersion: a.FlashVersion,
		Width: a.Width, Height: a.Height, KeyFrameInterval: a.KeyFrameInterval, FPS: a.FPS, Options: i.Options,
	}, nil
}
