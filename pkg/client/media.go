package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// UploadMedia puts a sound or a picture into media_dir: a WAV file that can be played, or a PNG or JPEG file that can be shown, of at most 100 MB. With
// replace it may take the place of a file with the same name. It needs the action control for all streams. It ends with ctx, or when the server
// gives up, after ten minutes at most.
func (c *Client) UploadMedia(ctx context.Context, name string, content io.Reader, replace bool) (file MediaFile, err error) {
	query := url.Values{"name": {name}, "replace": {strconv.FormatBool(replace)}}
	got, err := c.send(ctx, http.MethodPost, prefix+"/media/upload", query, io.NopCloser(content), nil) // content stays open: it is the caller's
	if err != nil {
		return file, err
	}
	defer got.Body.Close()
	text, err := readAnswer(got)
	if err != nil {
		return file, fmt.Errorf("read the answer of /media/upload: %w", err)
	}
	return file, json.Unmarshal(text, &file)
}

// DownloadMedia returns the bytes of a sound or a picture of media_dir. The caller closes them. It needs the action push.
func (c *Client) DownloadMedia(ctx context.Context, name string) (io.ReadCloser, error) {
	got, err := c.send(ctx, http.MethodGet, prefix+"/media/download", url.Values{"name": {name}}, nil, nil)
	if err != nil {
		return nil, err
	}
	return got.Body, nil
}

// StreamSnapshot returns a picture of a stream as it looks now, as JPEG. The server makes one a second of each stream at most.
func (c *Client) StreamSnapshot(ctx context.Context, name string) ([]byte, error) {
	return c.text(ctx, "/rest-api/stream/snapshot", url.Values{"name": {name}})
}
