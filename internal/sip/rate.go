package sip

import "time"

const (
	rateTime = time.Minute
	// perCallee is how many calls to one callee may start in rateTime: phones that refuse again and again are left alone.
	perCallee = 10
)

// rate limits how many calls start. Calls.mu guards it.
type rate struct {
	limit int // in rateTime
	all   []start
}

// start is a call that started in the last rateTime.
type start struct {
	at     time.Time
	callee string
}

// take notes a call, and reports false if there were too many.
func (r *rate) take(now time.Time, callee string) bool {
	old := 0
	for old < len(r.all) && now.Sub(r.all[old].at) >= rateTime {
		old++
	}
	r.all = r.all[old:]
	same := 0
	for _, s := range r.all {
		if s.callee == callee {
			same++
		}
	}
	if len(r.all) >= r.limit || same >= perCallee {
		return false
	}
	r.all = append(r.all, start{now, callee})
	return true
}
