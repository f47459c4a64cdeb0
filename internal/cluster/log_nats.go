package cluster

import (
	"context"
	"errors"
	"fmt"

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

// readLog calls take with each message of a stream from a number on, until ctx ends or something breaks.
func readLog(ctx context.Context, s jetstream.Stream, from uint64, take func(m jetstream.Msg, number uint64)) error {
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	for {
		m, err := messages.Next()
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		take(m, meta.Sequence.Stream)
	}
}
