package metrics

import "transponder/internal/state"

var (
	stateFailing = desc("state_failing", "1 if the last write to the state folder failed, or the folder cannot be used.")
	stateWrites  = desc("state_writes_total", "Records and lines for the state folder, by outcome.", "outcome")
	stateDamaged = desc("state_damaged_records", "Records in the state folder that are not what was written, and are not used.")
	stateAside   = desc("state_set_aside", "1 if the database was damaged when the server started: what could be read was taken over, and the old file lies beside the new one.")
	stateSeconds = desc("state_write_seconds", "How long transactions took until the disk had them, also those that failed. Writes that come together share one.")
	stateBytes   = desc("state_bytes", "Size of the database in the state folder, with the file of its latest changes.")
)

func (s sink) state(st state.Stats) {
	failing := 0.0
	if st.Failing {
		failing = 1
	}
	aside := 0.0
	if st.SetAside {
		aside = 1
	}
	s.gauge(stateFailing, failing)
	s.gauge(stateAside, aside)
	s.counter(stateWrites, st.Writes, "written")
	s.counter(stateWrites, st.Failures, "failed")
	s.gauge(stateDamaged, float64(st.Damaged))
	s.gauge(stateBytes, float64(st.Bytes))
	s.histogram(stateSeconds, state.TimeBounds[:], st.Commits.Counts[:], st.Commits.Sum)
}
