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

// push starts the pushes of a stream, if the server does not push by itself.
func (m *measurement) push(ctx context.Context, p *loadgen.Publisher) {
	if m.cfg.PushURL == "" || m.sink == nil {
		return
	}
	for k := range m.cfg.Pushes {
		names := []string{"{name}", p.Name(), "{i}", fmt.Sprint(p.Index()), "{k}", fmt.Sprint(k), "{sink}", m.sink.Addr()}
		rtmp := strings.NewReplacer(names...).Replace(m.cfg.RTMPURL)
		fill := strings.NewReplacer(append(names, "{rtmp}", rtmp)...)
		body := m.cfg.PushBody
		if k < len(m.cfg.PushBodies) {
			body = m.cfg.PushBodies[k]
		}
		m.note(post(ctx, fill.Replace(m.cfg.PushURL), m.cfg.PushToken, fill.Replace(body)))
	}
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
