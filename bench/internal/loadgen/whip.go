package loadgen

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// whipSession is an answered offer, to be ended with delete.
type whipSession struct {
	answer   string
	resource string
	token    string
}

var whipClient = &http.Client{Timeout: 15 * time.Second}

// postOffer posts an offer (RFC 9725, 4.2).
func postOffer(ctx context.Context, endpoint, token, sdp string) (*whipSession, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(sdp))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/sdp")
	authorize(req, token)
	res, err := whipClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode != http.StatusCreated {
		return nil, fmt.Errorf("WHIP offer: %s: %.200s", res.Status, body)
	}
	s := &whipSession{answer: string(body), token: token}
	if location := res.Header.Get("Location"); location != "" {
		ref, err := url.Parse(location)
		if err != nil {
			return nil, fmt.Errorf("WHIP location: %w", err)
		}
		s.resource = res.Request.URL.ResolveReference(ref).String()
	}
	return s, nil
}

// delete ends the session. If the answer had no Location, there is nothing to delete.
func (s *whipSession) delete(ctx context.Context) error {
	if s.resource == "" {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.resource, nil)
	if err != nil {
		return err
	}
	authorize(req, s.token)
	res, err := whipClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("WHIP delete: %s", res.Status)
	}
	return nil
}

func authorize(req *http.Request, token string) {
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
}
