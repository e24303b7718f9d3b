package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// client speaks to a hub. These few requests are our own because the Go library for
// the hub neither resumes nor verifies.
type client struct {
	endpoint string // without a slash at its end
	token    string
	http     *http.Client
}

// How long the hub may take; variables so that tests need not wait.
var (
	connectTimeout = 3 * time.Second
	answerTimeout  = 10 * time.Second
	stallTimeout   = 30 * time.Second
)

// newClient reads HF_ENDPOINT and HF_TOKEN as the Hugging Face tools do.
func newClient() (*client, error) {
	if v := strings.ToUpper(os.Getenv("HF_HUB_OFFLINE")); v == "1" || v == "TRUE" || v == "YES" || v == "ON" {
		return nil, errors.New("the hub may not be asked: HF_HUB_OFFLINE is set")
	}
	c := &client{endpoint: strings.TrimRight(os.Getenv("HF_ENDPOINT"), "/"), token: os.Getenv("HF_TOKEN")}
	if c.endpoint == "" {
		c.endpoint = "https://huggingface.co"
	}
	if u, err := url.Parse(c.endpoint); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("HF_ENDPOINT is %q, not an address like https://huggingface.co", c.endpoint)
	}
	if c.token == "" { // what the tools' login stored
		path := envPath("HF_TOKEN_PATH")
		if home, err := hfHome(); path == "" && err == nil {
			path = filepath.Join(home, "token")
		}
		b, _ := os.ReadFile(path)
		c.token = string(b)
	}
	c.token = strings.TrimSpace(c.token)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: connectTimeout}).DialContext
	transport.TLSHandshakeTimeout = connectTimeout
	transport.ResponseHeaderTimeout = answerTimeout
	c.http = &http.Client{Transport: transport}
	return c, nil
}

// resolveURL is the address of a file at a revision.
func (c *client) resolveURL(repo, rev, file string) string {
	return c.endpoint + "/" + repo + "/resolve/" + url.PathEscape(rev) + "/" + escapePath(file)
}

func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// do sends a request; errors name the hub. The token goes to the hub only: net/http
// drops it when a redirect leads to another host.
func (c *client) do(ctx context.Context, h *http.Client, method, address string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", "flashback")
	req.Header.Set("Accept-Encoding", "identity") // sizes and ranges are of the content itself
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := h.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the address, which may be signed
		}
		return nil, fmt.Errorf("the hub %s cannot be reached (check the network, HF_ENDPOINT and proxies): %w", c.endpoint, err)
	}
	return resp, nil
}

// refused says what an answer without content means, and what to do.
func (c *client) refused(resp *http.Response, r reference) error {
	what := "answers " + resp.Status
	switch code := resp.Header.Get("X-Error-Code"); {
	case code == "EntryNotFound":
		what = fmt.Sprintf("has no file %q in %s at revision %s: check its name", r.file, r.repo, r.rev)
	case code == "RevisionNotFound":
		what = fmt.Sprintf("has no revision %q of %s: check its name", r.rev, r.repo)
	case code == "GatedRepo" || resp.StatusCode == http.StatusForbidden:
		what = fmt.Sprintf("refuses %s (%s): accept its terms on its page, and set HF_TOKEN to a token that may read it", r.repo, resp.Status)
	case resp.StatusCode == http.StatusUnauthorized:
		what = fmt.Sprintf("refuses %s (%s): it does not exist, or is private: check its name, or set HF_TOKEN to a token that may read it", r.repo, resp.Status)
	case resp.StatusCode == http.StatusNotFound:
		what = fmt.Sprintf("has no %s with revision %s and file %q (%s): check the names", r.repo, r.rev, r.file, resp.Status)
	case resp.StatusCode == http.StatusTooManyRequests:
		what += ": too many requests, try again later or set HF_TOKEN"
	}
	return fmt.Errorf("the hub %s %s", c.endpoint, what)
}

// maxListing bounds the description of a repository that is read.
const maxListing = 32 << 20

// files lists the files of a repository.
func (c *client) files(ctx context.Context, r reference) ([]string, error) {
	resp, err := c.do(ctx, c.http, http.MethodGet, c.endpoint+"/api/models/"+r.repo+"/revision/"+url.PathEscape(r.rev), nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, c.refused(resp, r)
	}
	var info struct {
		Siblings []struct {
			Name string `json:"rfilename"`
		} `json:"siblings"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxListing)).Decode(&info); err != nil {
		return nil, fmt.Errorf("the hub %s: description of %s: %w", c.endpoint, r.repo, err)
	}
	var files []string
	for _, s := range info.Siblings {
		if validPath(s.Name) {
			files = append(files, s.Name)
		}
	}
	return files, nil
}

// content is what the hub says of a file before it is fetched.
type content struct {
	commit string
	digest string // SHA-256, or Git's SHA-1 of a small file
	size   int64
}

var digestPattern = regexp.MustCompile(`^([0-9a-f]{64}|[0-9a-f]{40})$`)

// content asks for the commit, digest and size of r.file.
func (c *client) content(ctx context.Context, r reference) (content, error) {
	h := *c.http
	h.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		// Renamed repositories redirect within the hub; a redirect to where the
		// content is stored already carries the answer.
		if u, err := url.Parse(req.Response.Header.Get("Location")); err != nil || u.Host != "" || req.Response.Header.Get("X-Linked-Etag") != "" || len(via) > 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}
	resp, err := c.do(ctx, &h, http.MethodHead, c.resolveURL(r.repo, r.rev, r.file), nil)
	if err != nil {
		return content{}, err
	}
	resp.Body.Close()
	if resp.StatusCode >= 400 {
		return content{}, c.refused(resp, r)
	}
	first := func(names ...string) string {
		for _, name := range names {
			if v := resp.Header.Get(name); v != "" {
				return v
			}
		}
		return ""
	}
	out := content{
		commit: resp.Header.Get("X-Repo-Commit"),
		digest: strings.Trim(strings.TrimPrefix(first("X-Linked-Etag", "Etag"), "W/"), `"`),
	}
	out.size, err = strconv.ParseInt(first("X-Linked-Size", "Content-Length"), 10, 64)
	if err != nil || out.size < 0 || !commitPattern.MatchString(out.commit) || !digestPattern.MatchString(out.digest) {
		return content{}, fmt.Errorf("the hub %s gives no commit, digest and size of %s (%s): it is no Hugging Face hub, or a proxy is in between", c.endpoint, r.file, resp.Status)
	}
	return out, nil
}
