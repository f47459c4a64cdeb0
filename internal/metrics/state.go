package metrics

import "transponder/internal/state"

var (
	stateFailing = desc("state_failing", "1 if the last write to the state folder failed, or the folder cannot be used.")
	stateWrites  = desc("state_writes_total", "Records and lines for the state folder, by outcome.", "outcome")
	stateDamaged = desc("state_damaged_records", "Records in the state folder that are not what was written, and are not used.")
)

func (s sink) state(st state.Stats) {
	failing := 0.0
	if st.Failing {
		failing = 1
	}
	s.gauge(stateFailing, failing)
	s.counter(stateWrites, st.Writes, "written")
	s.counter(stateWrites, st.Failures, "failed")
	s.gauge(stateDamaged, float64(st.Damaged))
}
