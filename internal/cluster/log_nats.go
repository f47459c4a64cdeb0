package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// openLog returns a stream of NATS, and makes it if it is not there. replicas is asked when NATS has answered.
func openLog(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig, replicas func() int) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	s, err := js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		cfg.Replicas = replicas()
		s, err = js.CreateStream(ctx, cfg)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			s, err = js.Stream(ctx, cfg.Name) // another server was first
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s of NATS: %w", cfg.Name, err)
	}
	return s, nil
}

const (
	// logIdle is after which time NATS forgets a reader that is gone.
	logIdle = 10 * time.Second
	// logPulse is how often NATS says that there is nothing new. A reader that hears nothing for twice as long begins anew.
	logPulse = 2 * time.Second
	// logGoodbye is how long telling NATS that a reader is gone may take.
	logGoodbye = 500 * time.Millisecond
)

// errLogGap means that a message of a stream was lost on its way.
var errLogGap = errors.New("a message of NATS is missing")

// readLog calls take with each message of a stream from a number on, until ctx ends or something breaks: then the caller begins anew where it was. The
// ordered consumer of nats.go does that by itself, but while NATS is away it does not end for 10 s.
func readLog(ctx context.Context, s jetstream.Stream, from uint64, take func(m jetstream.Msg, number uint64)) error {
	limit, cancel := context.WithTimeout(ctx, makeTimeout)
	defer cancel()
	consumer, err := s.CreateConsumer(limit, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, AckPolicy: jetstream.AckNonePolicy,
		Replicas: 1, MemoryStorage: true, InactiveThreshold: logIdle,
	})
	if err != nil {
		return err
	}
	defer func() {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), logGoodbye)
		defer cancel()
		_ = s.DeleteConsumer(limit, consumer.CachedInfo().Name) // or NATS forgets it
	}()
	messages, err := consumer.Messages(jetstream.PullExpiry(logIdle), jetstream.PullHeartbeat(logPulse))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for next := uint64(1); ; next++ {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != next {
			return errLogGap
		}
		take(m, meta.Sequence.Stream)
	}
}
