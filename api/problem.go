package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"mixdown/mixer"
)

// Problem is an error as a client reads it (RFC 9457), with the headers that
// its status calls for. REST and the raw routes share the one shape.
type Problem struct {
	*huma.ErrorModel
	header http.Header
}

// GetHeaders returns the headers that go with the status.
func (p *Problem) GetHeaders() http.Header { return p.header }

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// newProblem returns a Problem; its text says what was wrong, where, and what
// to do.
func newProblem(status int, format string, args ...any) *Problem {
	return &Problem{
		ErrorModel: &huma.ErrorModel{
			Status: status,
			Title:  http.StatusText(status),
			Detail: fmt.Sprintf(format, args...),
		},
		header: http.Header{},
	}
}

func (p *Problem) with(key, value string) *Problem {
	p.header.Set(key, value)
	return p
}

// unauthorized asks for a token (RFC 6750, section 3). Without a token there is
// no error code to give.
func unauthorized(code, format string, args ...any) *Problem {
	challenge := `Bearer realm="mixdown"`
	if code != "" {
		challenge += fmt.Sprintf(`, error=%q`, code)
	}
	return newProblem(http.StatusUnauthorized, format, args...).with("WWW-Authenticate", challenge)
}

func forbidden(format string, args ...any) *Problem {
	return newProblem(http.StatusForbidden, format, args...)
}

// busyPause is after how many seconds a newcomer may find that the server has
// time again: about as long as it takes to recover.
const busyPause = 10

// toProblem finds the status of an error from any layer.
func toProblem(err error) *Problem {
	var p *Problem
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &tooBig):
		return newProblem(http.StatusRequestEntityTooLarge, "the body is over %d bytes", tooBig.Limit)
	case errors.Is(err, mixer.ErrBadOffer):
		return newProblem(http.StatusBadRequest, "%v", err)
	case errors.Is(err, mixer.ErrNoCodec):
		return newProblem(http.StatusBadRequest, "%v; offer one that the server has", err)
	case errors.Is(err, mixer.ErrBadRate), errors.Is(err, mixer.ErrBadProgramme), errors.Is(err, mixer.ErrBadRequest), errors.Is(err, mixer.ErrNoDenoiser):
		return newProblem(http.StatusBadRequest, "%v", err)
	case errors.Is(err, mixer.ErrNoTier):
		return newProblem(http.StatusBadRequest, "%v; the join answer and GET /api/v1/rooms/{room} list the tiers", err)
	case errors.Is(err, mixer.ErrNoLayout):
		return newProblem(http.StatusBadRequest, "%v", err)
	case errors.Is(err, mixer.ErrLocked):
		return newProblem(http.StatusLocked, "%v; ask a host to open it", err)
	case errors.Is(err, mixer.ErrRefused):
		return forbidden("%v", err)
	case errors.Is(err, mixer.ErrBadInput):
		return newProblem(http.StatusUnprocessableEntity, "%v", err)
	case errors.Is(err, mixer.ErrNotNow):
		return newProblem(http.StatusConflict, "%v", err)
	case errors.Is(err, mixer.ErrTooMany):
		return newProblem(http.StatusTooManyRequests, "%v; end one first", err).with("Retry-After", "10")
	case errors.Is(err, mixer.ErrNoInput), errors.Is(err, mixer.ErrNoOutput):
		return newProblem(http.StatusNotFound, "%v", err)
	case errors.Is(err, mixer.ErrBadAddress):
		return newProblem(http.StatusUnprocessableEntity, "%v", err)
	case errors.Is(err, mixer.ErrForbidden), errors.Is(err, mixer.ErrRemoved), errors.Is(err, mixer.ErrNotAllowed):
		return forbidden("%v", err)
	case errors.Is(err, mixer.ErrNoRoom), errors.Is(err, mixer.ErrNoParticipant), errors.Is(err, mixer.ErrNoSession), errors.Is(err, mixer.ErrNoCall), errors.Is(err, mixer.ErrNoRecording):
		return newProblem(http.StatusNotFound, "%v", err)
	case errors.Is(err, mixer.ErrReplaced), errors.Is(err, mixer.ErrRoomClosed), errors.Is(err, mixer.ErrState), errors.Is(err, mixer.ErrProgramme), errors.Is(err, errRoomExists):
		return newProblem(http.StatusConflict, "%v", err)
	case errors.Is(err, mixer.ErrStale):
		return newProblem(http.StatusPreconditionFailed, "%v; send the ETag of the last answer, or If-Match: * to restart ICE", err)
	case errors.Is(err, mixer.ErrBusy):
		return newProblem(http.StatusServiceUnavailable, "%v; those in its rooms come first, newcomers get in when it has time again: try again in %d s", err, busyPause).
			with("Retry-After", strconv.Itoa(busyPause))
	case errors.Is(err, mixer.ErrNoSpace):
		return newProblem(http.StatusInsufficientStorage, "%v", err)
	case errors.Is(err, mixer.ErrNoPorts):
		return newProblem(http.StatusServiceUnavailable, "%v; try again later", err).with("Retry-After", "10")
	case errors.Is(err, mixer.ErrFull):
		return newProblem(http.StatusServiceUnavailable, "%v; try again later", err).with("Retry-After", "10")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusServiceUnavailable, "the server did not get to it in time; try again").with("Retry-After", "2")
	}
	return newProblem(http.StatusInternalServerError, "internal error; the server's log has it")
}

// problem is toProblem for REST handlers: what a client must not see is logged.
func (a *API) problem(err error) error {
	p := toProblem(err)
	if p.Status == http.StatusInternalServerError {
		a.log.Error("request failed", "error", err)
	}
	return p
}

// fail ends a raw request with a Problem.
func (a *API) fail(c *gin.Context, err error) {
	p := toProblem(err)
	if p.Status == http.StatusInternalServerError {
		a.log.Error("request failed", "method", c.Request.Method, "path", c.Request.URL.Path, "error", err)
	}
	for k, v := range p.header {
		c.Writer.Header()[k] = v
	}
	body, err := json.Marshal(p.ErrorModel)
	if err != nil {
		a.log.Error("problem not written", "error", err)
	}
	c.Abort()
	c.Data(p.Status, "application/problem+json", body)
}

// exposed are the headers that a page of another origin may read.
var exposed = strings.Join([]string{"Location", "ETag", "Link", "Retry-After", "WWW-Authenticate", "Accept-Post", "Accept-Patch", "Allow"}, ", ")

// cors opens everything to every origin: there are no cookies, tokens guard.
func cors(c *gin.Context) {
	h := c.Writer.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", exposed)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if c.Request.Method != http.MethodOptions {
		return
	}
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, If-Match")
	h.Set("Access-Control-Max-Age", "86400")
	switch {
	case strings.HasPrefix(c.FullPath(), "/whip/") && c.Param("id") == "", strings.HasPrefix(c.FullPath(), "/whep/") && c.Param("id") == "":
		h.Set("Accept-Post", typeSDP) // RFC 9725, section 4.2
	case strings.HasPrefix(c.FullPath(), "/whip/"), strings.HasPrefix(c.FullPath(), "/whep/"):
		h.Set("Accept-Patch", typeFragment)
	}
	c.AbortWithStatus(http.StatusNoContent)
}
