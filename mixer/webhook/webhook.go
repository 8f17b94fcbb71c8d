// Package webhook tells other servers what happens, signed as Standard Webhooks
// asks (https://www.standardwebhooks.com): webhook-id, webhook-timestamp,
// webhook-signature, and a body of {type, timestamp, data}.
package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"mixdown/mixer"
	"mixdown/mixer/outside"
)

// Config says who is told.
type Config struct {
	URLs   []string
	Secret string        // "whsec_" and base64, or base64
	Rules  outside.Rules // which addresses may be reached
	Folder string        // where what waits is kept over a restart; empty: nowhere
	Log    *slog.Logger
	Pauses []time.Duration // before each further try; nil: as Standard Webhooks suggests, for a day
}

// maxWaiting bounds what waits for one server.
const maxWaiting = 1000

// defaultPauses are from Standard Webhooks' table, "retry schedule".
func defaultPauses() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour,
	}
}

// Sender tells all servers of a Config, each in its own order and time.
type Sender struct {
	cfg    Config
	sign   *standard.Webhook
	client *http.Client
	queues []chan message
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	sent, failed, dropped prometheus.Counter
}

// New starts a Sender; with no URLs it does nothing.
func New(cfg Config) (*Sender, error) {
	s := &Sender{cfg: cfg}
	for i, u := range cfg.URLs {
		p, err := url.Parse(u)
		if err != nil || p.Scheme != "http" && p.Scheme != "https" || p.Host == "" || p.User != nil {
			return nil, fmt.Errorf("urls[%d]: %q is not http(s)://HOST/PATH", i, u)
		}
	}
	if len(cfg.URLs) > 0 {
		sign, err := standard.NewWebhook(cfg.Secret)
		if err != nil || cfg.Secret == "" {
			return nil, fmt.Errorf("secret: is not base64, with or without whsec_ before it: %w", errors.Join(err))
		}
		s.sign = sign
	}
	if s.cfg.Pauses == nil {
		s.cfg.Pauses = defaultPauses()
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	s.sent = counter("mixdown_webhooks_sent_total", "Events that a server took.")
	s.failed = counter("mixdown_webhooks_failed_total", "Tries that failed.")
	s.dropped = counter("mixdown_webhooks_dropped_total", "Events that a server was never told of.")
	s.client = &http.Client{
		Timeout:   20 * time.Second,
		Transport: &http.Transport{DialContext: cfg.Rules.DialContext, MaxIdleConns: 10, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second},
		// A redirect is not what was configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, u := range cfg.URLs {
		q := make(chan message, maxWaiting)
		s.queues = append(s.queues, q)
		w := newWaiting(cfg.Folder, u, cfg.Log)
		s.work.Go(func() { s.take(q, w) })
		s.work.Go(func() { s.run(u, w) })
	}
	return s, nil
}

// Close ends all tries; without a folder, what waits is forgotten. It may be
// called twice.
func (s *Sender) Close() error {
	s.cancel()
	s.work.Wait()
	s.client.CloseIdleConnections()
	return nil
}

// Send tells of an event. It never blocks.
func (s *Sender) Send(e mixer.Event) {
	if len(s.queues) == 0 {
		return
	}
	body, err := json.Marshal(struct {
		Type string      `json:"type"`
		Time time.Time   `json:"timestamp"`
		Data mixer.Event `json:"data"`
	}{e.Type, e.Time, e})
	if err != nil {
		s.cfg.Log.Error("event not told", "type", e.Type, "error", err)
		return
	}
	id := make([]byte, 16)
	rand.Read(id)
	m := message{id: "msg_" + hex.EncodeToString(id), body: body}
	for _, q := range s.queues {
		select {
		case q <- m:
		default:
			s.dropped.Inc()
		}
	}
}

// take puts what is to be told where it waits for one server: writing it down may
// take a slow disk a while, which Send does not have.
func (s *Sender) take(q chan message, w *waiting) {
	keep := func(m message) {
		if !w.add(m) {
			s.dropped.Inc()
		}
	}
	for {
		select {
		case m := <-q:
			keep(m)
		case <-s.ctx.Done():
			for {
				select {
				case m := <-q:
					keep(m)
				default:
					return
				}
			}
		}
	}
}

// run tells one server, event by event.
func (s *Sender) run(to string, w *waiting) {
	for {
		m, ok := w.first()
		if !ok {
			select {
			case <-s.ctx.Done():
				return
			case <-w.wake:
			}
			continue
		}
		s.deliver(to, m)
		if s.ctx.Err() != nil {
			return // perhaps not told, so it stays
		}
		w.drop()
	}
}

func (s *Sender) deliver(to string, m message) {
	for try := 0; ; try++ {
		wait, err := s.post(to, m)
		if err == nil {
			s.sent.Inc()
			return
		}
		s.failed.Inc()
		if s.ctx.Err() != nil {
			return
		}
		if try >= len(s.cfg.Pauses) || errors.Is(err, errGone) || errors.Is(err, outside.ErrRefused) {
			s.dropped.Inc()
			s.cfg.Log.Error("webhook given up", "url", to, "id", m.id, "tries", try+1, "error", err)
			return
		}
		pause := max(wait, s.cfg.Pauses[try])
		s.cfg.Log.Warn("webhook not taken", "url", to, "id", m.id, "error", err, "again_in", pause)
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// errGone is a server that wants no more (410).
var errGone = errors.New("the server wants to be told no more")

// post tells a server once; wait is what it asks for before the next time.
func (s *Sender) post(to string, m message) (wait time.Duration, err error) {
	now := time.Now()
	signature, err := s.sign.Sign(m.id, now, m.body)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(s.ctx, http.MethodPost, to, bytes.NewReader(m.body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "mixdown")
	req.Header.Set(standard.HeaderWebhookID, m.id)
	req.Header.Set(standard.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standard.HeaderWebhookSignature, signature)
	res, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return 0, nil
	case res.StatusCode == http.StatusGone:
		return 0, errGone
	}
	if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
		wait = min(time.Duration(n)*time.Second, time.Hour)
	}
	return wait, fmt.Errorf("status %s", res.Status)
}

// Describe implements prometheus.Collector.
func (s *Sender) Describe(out chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, out) }

// Collect implements prometheus.Collector.
func (s *Sender) Collect(out chan<- prometheus.Metric) {
	s.sent.Collect(out)
	s.failed.Collect(out)
	s.dropped.Collect(out)
}
