package blackbox

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"transponder/bench/internal/loadgen"
)

var pushClient = &http.Client{Timeout: 20 * time.Second}

// push tells the server to push a stream, where it has to be told.
func (m *measurement) push(ctx context.Context, p *loadgen.Publisher) {
	if m.cfg.PushURL == "" || m.sink == nil {
		return
	}
	fill := strings.NewReplacer("{name}", p.Name(), "{i}", fmt.Sprint(p.Index()), "{sink}", m.sink.Addr())
	fillAll := strings.NewReplacer("{name}", p.Name(), "{i}", fmt.Sprint(p.Index()), "{rtmp}", fill.Replace(m.cfg.RTMPURL))
	m.note(post(ctx, fillAll.Replace(m.cfg.PushURL), m.cfg.PushToken, fillAll.Replace(m.cfg.PushBody)))
}

func post(ctx context.Context, url, token, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := pushClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("push: %s: %.200s", res.Status, text)
	}
	return err
}
