package wcs

import (
	"context"
	"encoding/json"
	"sync"
)

// dataRequest is the object of sendData.
type dataRequest struct {
	OperationID text            `json:"operationId"`
	Payload     json.RawMessage `json:"payload"`
}

// dataStatus is the object of DataStatusEvent.
type dataStatus struct {
	OperationID string `json:"operationId"`
	Status      string `json:"status"`
	Info        string `json:"info,omitempty"`
}

// maxData is how many messages of one page may wait for the backend of its app.
const maxData = 32

// dataQueue has the data that a page sends to the backend of its app, in the order in which it came. The zero value is empty.
type dataQueue struct {
	mu      sync.Mutex
	waiting []dataRequest // guarded by mu
	sending bool          // guarded by mu; a goroutine empties waiting
}

// handleData passes data of a page to the backend of its app. The page waits for the confirmation, also if there is no backend.
func (s *session) handleData(ctx context.Context, m dataRequest) {
	switch {
	case m.OperationID == "":
		s.ignore("sendData without operationId")
	case !s.hook.HasBackend():
		s.sendDataStatus(m, "")
	case len(m.Payload) > maxPayload:
		s.sendDataStatus(m, "the data is too long")
	case !s.queueData(ctx, m):
		s.sendDataStatus(m, "too many messages wait")
	}
}

func (s *session) sendDataStatus(m dataRequest, problem string) {
	d := dataStatus{string(m.OperationID), "ACCEPTED", problem}
	if problem != "" {
		d.Status = failed
	}
	s.send("DataStatusEvent", d)
}

// queueData returns false if too much waits already.
func (s *session) queueData(ctx context.Context, m dataRequest) bool {
	q := &s.data
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxData {
		return false
	}
	q.waiting = append(q.waiting, m)
	if !q.sending {
		q.sending = s.streams.start(func() { s.safely(func() { s.passData(ctx) }) })
	}
	return true
}

// passData passes on what waits. It ends with the socket that the data came over: nobody waits for the confirmation then.
func (s *session) passData(ctx context.Context) {
	for {
		m, ok := s.data.next()
		if !ok {
			return
		}
		err := s.hook.Data(ctx, string(m.OperationID), m.Payload)
		switch {
		case err == nil:
			s.sendDataStatus(m, "")
		case ctx.Err() == nil:
			s.sendDataStatus(m, restricted)
		}
	}
}

func (q *dataQueue) next() (m dataRequest, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.waiting, q.sending = nil, false
		return dataRequest{}, false
	}
	m = q.waiting[0]
	q.waiting = q.waiting[1:]
	return m, true
}
