package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxReply bounds what is read of an answer, in bytes.
const maxReply = 16 << 20

// Client sends JSON to a server and reads JSON from it.
type Client struct {
	base, key string
	client    *http.Client
}

// NewClient returns a client of the server at an address, to which paths are added; a key is
// sent as a bearer token, "": none.
func NewClient(address, key string) *Client { return &Client{address, key, &http.Client{}} }

// Call sends a request, without a body where that is nil, and reads the JSON of its answer.
func (c *Client) Call(ctx context.Context, method, path string, body, reply any) error {
	response, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return fmt.Errorf("%s %s%s: %w", method, c.base, path, err)
	}
	if err := json.Unmarshal(raw, reply); err != nil {
		return fmt.Errorf("%s %s%s: the answer is not what such a server gives: %w", method, c.base, path, err)
	}
	return nil
}

// send sends a request; an answer with another status than 200 is an error.
func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, sent)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		request.Header.Set("Authorization", "Bearer "+c.key)
	}
	response, err := c.client.Do(request)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%s %s%s: no answer in time", method, c.base, path)
	}
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		raw, _ := io.ReadAll(io.LimitReader(response.Body, 1<<10))
		return nil, fmt.Errorf("%s %s%s: %s: %s", method, c.base, path, response.Status, shorten(raw))
	}
	return response, nil
}

// shorten returns the beginning of an answer, for an error.
func shorten(raw []byte) string {
	const most = 200
	if len(raw) > most {
		raw = append(raw[:most:most], " …"...)
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(raw)), "")
}
