package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humagin"
	"github.com/gin-gonic/gin"
)

// prefix is the root of REST.
const prefix = "/api/v1"

// guarded marks an operation that needs a token; where its path names a room
// the token must be for that room.
var guarded = []map[string][]string{{"token": {}}}

type contextKey int

const (
	bearerKey contextKey = iota
	addressKey
	baseKey
)

// bearer returns who a guarded request comes from.
func bearer(ctx context.Context) Bearer {
	b, _ := ctx.Value(bearerKey).(Bearer)
	return b
}

func (a *API) restRoutes() {
	cfg := huma.DefaultConfig("mixdown", a.cfg.Version)
	cfg.CreateHooks = nil // no $schema fields and no Link headers in answers
	// The document is served by describe.
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.Info.Description = "Control plane of a mixdown server: rooms, participants, and the signalling of their media. Errors are problem details (RFC 9457)."
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", BearerFormat: "JWT", Description: "HS256; from joining a room, or from `mixdown token`"},
	}
	a.rest = humagin.New(a.engine, cfg)
	a.rest.UseMiddleware(a.guard)
	a.roomRoutes()
	a.participantRoutes()
	a.tierRoutes()
	if a.cfg.Inputs != nil {
		a.inputRoutes()
	}
	a.callRoutes()
	a.recordingRoutes()
	if a.cfg.Outputs != nil {
		a.outputRoutes()
	}
	if a.cfg.Legs != nil {
		a.legRoutes()
	}
}

// guard checks the token of guarded operations and tells handlers what they
// cannot see of the request.
func (a *API) guard(ctx huma.Context, next func(huma.Context)) {
	c := humagin.Unwrap(ctx)
	ctx = huma.WithValue(ctx, addressKey, c.ClientIP())
	ctx = huma.WithValue(ctx, baseKey, a.base(c))
	if len(ctx.Operation().Security) > 0 {
		b, err := a.authorize(ctx.Header("Authorization"), "", ctx.Param("room"))
		if err != nil {
			a.fail(c, err)
			return
		}
		ctx = huma.WithValue(ctx, bearerKey, b)
	}
	next(ctx)
}

// describe serves the OpenAPI document of all that was registered before.
func (a *API) describe() error {
	doc, err := json.Marshal(a.rest.OpenAPI())
	if err != nil {
		return fmt.Errorf("openapi: %w", err)
	}
	a.engine.GET(prefix+"/openapi.json", func(c *gin.Context) { c.Data(http.StatusOK, "application/openapi+json", doc) })
	return nil
}

// operation describes a REST operation. security is guarded or nil.
func operation(method, path, id, summary string, security []map[string][]string, errors ...int) huma.Operation {
	if security != nil {
		errors = append(errors, http.StatusUnauthorized, http.StatusForbidden)
	}
	return huma.Operation{
		Method:       method,
		Path:         prefix + path,
		OperationID:  id,
		Summary:      summary,
		Tags:         []string{strings.SplitN(strings.TrimPrefix(path, "/"), "/", 2)[0]},
		MaxBodyBytes: maxBody,
		Security:     security,
		Errors:       errors,
	}
}

// rawOperation serves an operation outside of REST's JSON and puts it into the
// OpenAPI document.
func (a *API) rawOperation(op *huma.Operation, handler gin.HandlerFunc) {
	described := *op
	described.Parameters = append(pathParameters(op.Path), op.Parameters...)
	a.rest.OpenAPI().AddOperation(&described)
	a.engine.Handle(op.Method, strings.NewReplacer("{", ":", "}", "").Replace(op.Path), handler)
}

func pathParameters(path string) []*huma.Param {
	var out []*huma.Param
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			out = append(out, &huma.Param{Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: &huma.Schema{Type: "string"}})
		}
	}
	return out
}

func queryParameter(name, about string) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: about, Schema: &huma.Schema{Type: "string"}}
}

// text is a body of that type in the OpenAPI document.
func text(contentType string) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: "string"}}}
}
