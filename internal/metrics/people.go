package metrics

import (
	"transponder/internal/access/audit"
	"transponder/internal/access/people"
)

var (
	auditWritten = desc("audit_lines_total", "Lines of the audit log that were written.")
	auditDropped = desc("audit_lines_dropped_total", "Lines of the audit log that came faster than they could be written.")
	auditFailed  = desc("audit_lines_failed_total", "Lines of the audit log that the state or the file did not take.")
	users        = desc("users", "Users, by role.", "role")
	userSessions = desc("user_sessions", "Pages that are logged in.")
	logins       = desc("logins_total", "Passwords that were checked, by outcome. Those that a client sends again are not checked again.", "outcome")
)

func (s sink) audit(st audit.Stats) {
	s.counter(auditWritten, st.Written)
	s.counter(auditDropped, st.Dropped)
	s.counter(auditFailed, st.Failed)
}

func (s sink) people(st people.Stats) {
	for role, n := range st.Users {
		s.gauge(users, float64(n), string(role))
	}
	s.gauge(userSessions, float64(st.Sessions))
	s.counter(logins, st.Right, "right")
	s.counter(logins, st.Wrong, "wrong")
	s.counter(logins, st.TooMany, "too many")
}
