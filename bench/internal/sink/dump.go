package sink

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"transponder/bench/internal/wire"
)

// flvDump writes messages as FLV tags, and a line of text for each of them: type, RTMP timestamp, arrival, and for video the
// frame's mark. Errors of writing stay in the buffered writers until close.
type flvDump struct {
	flvFile, timesFile *os.File
	flv, times         *bufio.Writer
}

// newDump makes base.flv and base.times.
func newDump(base string) (*flvDump, error) {
	flv, err := os.Create(base + ".flv")
	if err != nil {
		return nil, err
	}
	times, err := os.Create(base + ".times")
	if err != nil {
		return nil, errors.Join(err, flv.Close())
	}
	d := &flvDump{flvFile: flv, timesFile: times, flv: bufio.NewWriter(flv), times: bufio.NewWriter(times)}
	_, err = d.flv.Write([]byte{'F', 'L', 'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0})
	return d, err
}

func (d *flvDump) tag(m wire.Message, arrival int64, note string) {
	n, ts := len(m.Payload), m.Timestamp
	head := []byte{
		m.Type, byte(n >> 16), byte(n >> 8), byte(n), byte(ts >> 16), byte(ts >> 8), byte(ts), byte(ts >> 24), 0, 0, 0,
	}
	_, _ = d.flv.Write(head)
	_, _ = d.flv.Write(m.Payload)
	_, _ = d.flv.Write(binary.BigEndian.AppendUint32(nil, uint32(n+len(head))))
	_, _ = fmt.Fprintf(d.times, "%d %d %d %s\n", m.Type, ts, arrival, note)
}

func (d *flvDump) close() error {
	return errors.Join(d.flv.Flush(), d.times.Flush(), d.flvFile.Close(), d.timesFile.Close())
}
