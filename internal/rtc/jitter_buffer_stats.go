package rtc

// JitterBufferStats are the figures of one received stream, or the sums of several.
type JitterBufferStats struct {
	Packets, Bytes int64 // received; bytes of payloads
	Lost           int64 // packets given up
	Late           int64 // packets that came after they were given up
	Duplicate      int64 // packets that came twice
	NACKs          int64 // packets asked for again
	PLIs           int64 // key frames asked for
	BrokenUnits    int64 // access units that were not whole and went no further
}

// Add adds the figures of another stream.
func (s *JitterBufferStats) Add(other JitterBufferStats) {
	s.Packets += other.Packets
	s.Bytes += other.Bytes
	s.Lost += other.Lost
	s.Late += other.Late
	s.Duplicate += other.Duplicate
	s.NACKs += other.NACKs
	s.PLIs += other.PLIs
	s.BrokenUnits += other.BrokenUnits
}
