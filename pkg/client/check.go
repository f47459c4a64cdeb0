package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// CheckPushSteps is CheckPush that tells each step as it comes. heard is called from this goroutine, before the method returns. An older server
// tells all steps at the end.
func (c *Client) CheckPushSteps(ctx context.Context, request CheckPush, heard func(CheckedStep)) (Checked, error) {
	const path = "/push/check"
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	got, err := c.send(ctx, http.MethodPost, prefix+path, nil, request, http.Header{"Accept": {"application/x-ndjson"}})
	if err != nil {
		return Checked{}, err
	}
	defer got.Body.Close()
	told := false
	for d := json.NewDecoder(io.LimitReader(got.Body, maxAnswer)); ; {
		var text json.RawMessage
		var line struct {
			Step   string `json:"step"`
			Status int    `json:"status"` // of an error
		}
		if err := d.Decode(&text); err != nil {
			return Checked{}, fmt.Errorf("read the answer of %s: %w", path, noEnd(err))
		}
		if err := json.Unmarshal(text, &line); err != nil {
			return Checked{}, fmt.Errorf("%s has answered something else than a Transponder does: %w", c.base, err)
		}
		switch {
		case line.Step != "":
			var step CheckedStep
			if err := json.Unmarshal(text, &step); err != nil {
				return Checked{}, fmt.Errorf("%s has told a step that cannot be read: %w", c.base, err)
			}
			told = true
			heard(step)
			continue
		case line.Status != 0:
			e := &Error{Status: line.Status}
			if err := json.Unmarshal(text, e); err != nil || e.Message == "" {
				e.Message = "the server has ended the check"
			}
			return Checked{}, e
		}
		if c.heard != nil {
			c.heard(text)
		}
		var answer Checked
		if err := json.Unmarshal(text, &answer); err != nil {
			return Checked{}, fmt.Errorf("%s has answered something else than a Transponder does: %w", c.base, err)
		}
		if !told {
			for i, all := range append([][]CheckedStep{answer.Steps}, stepsOf(answer.Backups)...) {
				for _, step := range all {
					step.Backup = int64(i)
					heard(step)
				}
			}
		}
		return answer, nil
	}
}

func stepsOf(backups []CheckedBackup) (all [][]CheckedStep) {
	for _, b := range backups {
		all = append(all, b.Steps)
	}
	return all
}

// noEnd returns an error of reading. An answer that ends before the last line is cut short.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
