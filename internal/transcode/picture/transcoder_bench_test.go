//go:build cgo && linux

package picture

import (
	"context"
	"slices"
	"testing"
	"time"

	"transponder/internal/media"
	"transponder/internal/stream"
	"transponder/internal/transcode/picture/picturetest"
)

// The benchmark measures, in real time, by how much a 720p30 rendition of a 720p30 source delays pictures, and how many cores it uses.
func BenchmarkVideoDelay(b *testing.B) {
	v := newVideo(b, program(b)...)
	s := newSource(b)
	clip := picturetest.Clip(b, media.H264, picturetest.Source(1280, 720, 30, 4*time.Second))
	feed, release, err := v.Feed(s, Profile{Height: 720})
	if err != nil {
		b.Fatal(err)
	}
	defer release()
	reader := s.NewReader(stream.ReaderConfig{Video: feed})
	defer reader.Close()

	const period = time.Second / 30
	written := make(chan time.Time, 1024)
	ctx, cancel := context.WithTimeout(b.Context(), time.Duration(b.N)*period+30*time.Second)
	defer cancel()
	read := make(chan []time.Duration, 1)
	go func() {
		var delays []time.Duration
		var f [1]media.Frame
		for len(delays) < b.N {
			if _, err := reader.Read(ctx, f[:]); err != nil {
				b.Error(err)
				break
			}
			delays = append(delays, time.Since(<-written))
		}
		read <- delays
	}()
	began := time.Now()
	tick := time.NewTicker(period)
	defer tick.Stop()
	for i := range b.N {
		<-tick.C
		f := clip[i%len(clip)]
		f.Time = media.Timestamp(time.Duration(i) * period)
		written <- time.Now()
		s.Video.Write(f)
	}
	delays := <-read
	for _, r := range v.rendering() {
		r.mu.Lock()
		b.ReportMetric(r.process.Usage().CPU.Seconds()/time.Since(began).Seconds(), "cores")
		r.mu.Unlock()
	}
	if len(delays) < 30 {
		return
	}
	delays = delays[len(delays)/10:] // without the beginning
	slices.Sort(delays)
	for _, q := range []struct {
		unit string
		at   float64
	}{{"p50-ms", 0.5}, {"p99-ms", 0.99}} {
		b.ReportMetric(float64(delays[int(q.at*float64(len(delays)))].Microseconds())/1000, q.unit)
	}
}
