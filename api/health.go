package api

import (
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func (a *API) healthRoutes() {
	plain := func(path, id, summary string, handler gin.HandlerFunc) {
		a.rawOperation(&huma.Operation{
			Method: http.MethodGet, Path: path, OperationID: id, Summary: summary, Tags: []string{"operation"},
			Responses: map[string]*huma.Response{"200": {Description: "yes", Content: text("text/plain")}, "default": problemResponse},
		}, handler)
		a.engine.HEAD(path, handler)
	}
	plain("/healthz", "healthz", "Whether the process lives", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	plain("/readyz", "readyz", "Whether sessions may start: 503 while starting and stopping", func(c *gin.Context) {
		if err := a.admissible(); err != nil {
			a.fail(c, err)
			return
		}
		c.String(http.StatusOK, "ready\n")
	})
	plain("/metrics", "metrics", "Prometheus metrics", gin.WrapH(promhttp.HandlerFor(a.cfg.Gatherer, promhttp.HandlerOpts{})))
}

// meters are the figures of the control plane.
type meters struct {
	requests *prometheus.CounterVec
	controls prometheus.Gauge
	garbled  prometheus.Counter
	missed   prometheus.Counter
	refused  prometheus.Counter
}

func newMeters() meters {
	return meters{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mixdown_http_requests_total", Help: "Requests by route, method and status.",
		}, []string{"route", "method", "status"}),
		controls: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "mixdown_control_connections", Help: "Control WebSockets that are open.",
		}),
		garbled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mixdown_control_garbled_total", Help: "Control messages that were none.",
		}),
		missed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mixdown_control_events_missed_total", Help: "Events that hosts were not sent because they read too slowly; they are sent the whole state instead.",
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "mixdown_joins_refused_total", Help: "Joins with a wrong key, or from an address with too many.",
		}),
	}
}

func (m meters) all() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.controls, m.garbled, m.missed, m.refused}
}

// Describe implements prometheus.Collector.
func (a *API) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range a.meters.all() {
		m.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (a *API) Collect(ch chan<- prometheus.Metric) {
	for _, m := range a.meters.all() {
		m.Collect(ch)
	}
}

// observe counts a request. Queries may hold tokens and are not logged.
func (a *API) observe(c *gin.Context) {
	start := time.Now()
	c.Next()
	route := c.FullPath()
	if route == "" {
		route = "other"
	}
	status := c.Writer.Status()
	a.meters.requests.WithLabelValues(route, method(c.Request.Method), strconv.Itoa(status)).Inc()
	a.log.Debug("request", "method", c.Request.Method, "path", c.Request.URL.Path, "status", status,
		"address", c.ClientIP(), "took", time.Since(start).Round(time.Microsecond))
}

// method bounds the label's values: a client may send any word.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// recoverPanic turns a defect into a 500 and a log line.
func (a *API) recoverPanic(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if v == http.ErrAbortHandler {
			panic(v)
		}
		a.log.Error("panic in a request", "method", c.Request.Method, "path", c.Request.URL.Path, "panic", v, "stack", string(debug.Stack()))
		if !c.Writer.Written() {
			a.fail(c, newProblem(http.StatusInternalServerError, "internal error; the server's log has it"))
		}
	}()
	c.Next()
}
