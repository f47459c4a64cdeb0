package line

import (
	"log/slog"
	"sync/atomic"
)

// Stats are the figures of a Line since its start. What is dropped gets no answer.
type Stats struct {
	Received, Sent int64 // messages
	Repeated       int64 // of Sent: over UDP, because no answer came

	Strangers int64 // dropped: datagrams and connections of addresses that are neither known nor welcome
	Size      int64 // dropped: too long, or too many fields
	Method    int64 // dropped: a method that we do not know
	Malformed int64 // dropped: no SIP
	Rate      int64 // dropped: too many new transactions
	Unmatched int64 // dropped: responses to nothing, ACK and CANCEL for nothing
	Full      int64 // dropped: queues, connections or transactions were full
	Unsent    int64 // our messages that could not be sent

	Connections  int // open now
	Transactions int // open now
}

// counters are the numbers behind Stats.
type counters struct {
	received, sent, repeated                                          atomic.Int64
	strangers, size, method, malformed, rate, unmatched, full, unsent atomic.Int64
	connections, transactions                                         atomic.Int64
}

func (c *counters) stats() Stats {
	return Stats{
		Received: c.received.Load(), Sent: c.sent.Load(), Repeated: c.repeated.Load(),
		Strangers: c.strangers.Load(), Size: c.size.Load(), Method: c.method.Load(), Malformed: c.malformed.Load(), Rate: c.rate.Load(),
		Unmatched: c.unmatched.Load(), Full: c.full.Load(), Unsent: c.unsent.Load(),
		Connections: int(c.connections.Load()), Transactions: int(c.transactions.Load()),
	}
}

// report logs what was dropped since the last report, if anything was, and returns the present figures.
func report(log *slog.Logger, last, now Stats) Stats {
	var dropped []any
	for _, d := range []struct {
		name      string
		last, now int64
	}{
		{"strangers", last.Strangers, now.Strangers}, {"size", last.Size, now.Size}, {"method", last.Method, now.Method},
		{"malformed", last.Malformed, now.Malformed}, {"rate", last.Rate, now.Rate}, {"unmatched", last.Unmatched, now.Unmatched},
		{"full", last.Full, now.Full}, {"unsent", last.Unsent, now.Unsent},
	} {
		if d.now > d.last {
			dropped = append(dropped, d.name, d.now-d.last)
		}
	}
	if len(dropped) > 0 {
		log.Info("SIP messages dropped within a minute", dropped...)
	}
	return now
}
