package rest

import (
	"context"
	"net/http"

	"transponder/internal/access"
	"transponder/internal/access/audit"
	"transponder/internal/access/people"
)

func (s *Server) userRoutes() {
	s.list("/user/find_all", access.Admin, withPeople(s, s.findUsers), http.MethodGet, http.MethodPost)
	s.method("/user/create", access.Admin, withPeople(s, s.createUser), http.MethodPost)
	s.method("/user/update", access.Admin, withPeople(s, s.updateUser), http.MethodPost)
	s.method("/user/remove", access.Admin, withPeople(s, s.removeUser), http.MethodPost)
}

// userBody is a user in an answer. Times are ms since 1970.
type userBody struct {
	Name      string        `json:"name"`
	Role      access.Role   `json:"role"`
	Streams   []string      `json:"streams"`
	Source    people.Source `json:"source"`
	Created   int64         `json:"created,omitempty"`
	LastLogin int64         `json:"lastLogin,omitempty"`
	Password  string        `json:"password,omitempty"` // one that the server has made
}

func newUserBody(u people.User) userBody {
	return userBody{Name: u.Name, Role: u.Role, Streams: u.Streams, Source: u.Source, Created: milliseconds(u.Created), LastLogin: milliseconds(u.LastLogin)}
}

var errNoUser = refusal{http.StatusNotFound, "User not found"}

func (s *Server) findUsers(context.Context, *fields) (any, error) {
	var list []userBody
	for _, u := range s.parts.People.Users() {
		list = append(list, newUserBody(u))
	}
	if list == nil {
		return nil, errNoUser
	}
	return list, nil
}

func (s *Server) createUser(ctx context.Context, f *fields) (any, error) {
	n := people.NewUser{Name: f.required("name"), Password: f.text("password"), Role: access.Role(f.required("role")), Streams: f.texts("streams")}
	if f.err != nil {
		return nil, f.err
	}
	aboutObject(ctx, n.Name)
	u, password, err := s.parts.People.Create(ctx, n)
	if err != nil {
		return nil, err
	}
	b := newUserBody(u)
	b.Password = password
	return b, nil
}

func (s *Server) updateUser(ctx context.Context, f *fields) (any, error) {
	name := f.required("name")
	var c people.Change
	if password := f.text("password"); password != "" {
		c.Password = &password
	}
	if role := access.Role(f.text("role")); role != "" {
		c.Role = &role
	}
	c.Streams = f.texts("streams")
	if f.err != nil {
		return nil, f.err
	}
	aboutObject(ctx, name)
	u, err := s.parts.People.Update(ctx, name, c)
	if err != nil {
		return nil, err
	}
	return newUserBody(u), nil
}

func (s *Server) removeUser(ctx context.Context, f *fields) (any, error) {
	name := f.required("name")
	if f.err != nil {
		return nil, f.err
	}
	aboutObject(ctx, name)
	return nil, s.parts.People.Remove(ctx, name)
}

// aboutObject names what a request changes, for the audit log.
func aboutObject(ctx context.Context, name string) {
	note(ctx, func(l *audit.Line) { l.Object = name })
}
