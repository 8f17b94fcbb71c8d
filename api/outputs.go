package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"mixdown/mixer"
)

// OutputPath names an output.
type OutputPath struct {
	Room   string `path:"room" maxLength:"64" example:"demo"`
	Output string `path:"output" maxLength:"64" doc:"its id"`
}

type startOutput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body struct {
		URL     string  `json:"url,omitempty" maxLength:"2048" doc:"rtmp(s), srt (caller, or mode=listener), rtp, rtsp(s), or http(s), which gets a PUT of MPEG-TS; which hosts are allowed is the server's outputs.allow" example:"rtmps://live.example.org/app"`
		Key     string  `json:"key,omitempty" maxLength:"512" doc:"the stream's key; it goes behind url and is shown to nobody"`
		Format  string  `json:"format,omitempty" enum:"hls,mpegts" doc:"instead of url: to be fetched from this server"`
		Name    string  `json:"name,omitempty" maxLength:"64"`
		Layout  string  `json:"layout,omitempty" enum:"gallery,speaker,screen" doc:"of the programme; here and below: absent takes that of the room's recordings and outputs that run, or else the server's. All of a room share one programme: what asks for another is refused with 409"`
		Names   *bool   `json:"names,omitempty" doc:"of people on their pictures; absent is true"`
		Width   int     `json:"width,omitempty" minimum:"0" maximum:"3840"`
		Height  int     `json:"height,omitempty" minimum:"0" maximum:"2160"`
		FPS     float64 `json:"fps,omitempty" minimum:"0" maximum:"60"`
		Bitrate int     `json:"bitrate,omitempty" minimum:"0" maximum:"20000000" doc:"bit/s of pictures"`
	}
}

type outputOutput struct{ Body mixer.OutputState }

func (a *API) outputRoutes() {
	const all, one = "/rooms/{room}/outputs", "/rooms/{room}/outputs/{output}"
	start := operation(http.MethodPost, all, "start-output", "Send a room's programme to a live service or a pipeline, or keep it ready for players (a host)", guarded,
		http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity, http.StatusTooManyRequests)
	start.DefaultStatus = http.StatusCreated
	start.Description = "Answers at once; the output's state tells how it goes. A target that is lost is tried again after 1 s, and then up to 30 s, until the output is deleted."
	huma.Register(a.rest, start, func(ctx context.Context, in *startOutput) (*outputOutput, error) {
		if err := host(ctx, in.Room); err != nil {
			return nil, err
		}
		if err := a.admissible(); err != nil {
			return nil, err
		}
		if err := a.ensure(in.Room); err != nil {
			return nil, a.problem(err)
		}
		b := in.Body
		return a.output(a.cfg.Outputs.StartOutput(ctx, in.Room, mixer.OutputRequest{
			URL: b.URL, Key: b.Key, Format: b.Format, Name: cleanName(b.Name), Layout: b.Layout, Names: b.Names, Width: b.Width, Height: b.Height, FPS: b.FPS, Bitrate: b.Bitrate,
		}))(ctx, in.Room)
	})
	huma.Register(a.rest, operation(http.MethodGet, all, "list-outputs", "List where a room's programme is sent (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *roomPath) (*struct{ Body []mixer.OutputState }, error) {
			if err := host(ctx, in.Room); err != nil {
				return nil, err
			}
			if err := a.exists(in.Room); err != nil {
				return nil, a.problem(err)
			}
			list := a.cfg.Outputs.Outputs(in.Room)
			for i := range list {
				a.place(ctx, in.Room, &list[i])
			}
			return &struct{ Body []mixer.OutputState }{list}, nil
		})
	huma.Register(a.rest, operation(http.MethodGet, one, "get-output", "Show one output (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *OutputPath) (*outputOutput, error) {
			if err := host(ctx, in.Room); err != nil {
				return nil, err
			}
			return a.output(a.cfg.Outputs.Output(in.Room, in.Output))(ctx, in.Room)
		})
	huma.Register(a.rest, operation(http.MethodDelete, one, "remove-output", "End an output (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *OutputPath) (*struct{}, error) {
			if err := host(ctx, in.Room); err != nil {
				return nil, err
			}
			if err := a.cfg.Outputs.RemoveOutput(in.Room, in.Output); err != nil {
				return nil, a.problem(err)
			}
			return nil, nil
		})
	a.fetched(one+"/sdp", "get-output-sdp", "The description of an RTP output (RFC 8866)", "application/sdp", a.sdp)
	a.fetched(one+"/stream.ts", "get-output-ts", "The programme as MPEG-TS, without an end", "video/mp2t", a.streamTS)
	a.fetched(one+"/hls/{file}", "get-output-hls", "The playlist index.m3u8 of an HLS output, and what it names (RFC 8216)", "application/vnd.apple.mpegurl", a.hls)
	for _, m := range []string{http.MethodGet, http.MethodHead} {
		a.engine.Handle(m, "/r/:room/watch/:output", a.serveIndex)
	}
}

// fetched serves what players fetch. They cannot send tokens everywhere, so the id
// of the output, which cannot be guessed, is what lets them.
func (a *API) fetched(path, id, summary, media string, handler gin.HandlerFunc) {
	a.rawOperation(&huma.Operation{
		Method: http.MethodGet, Path: prefix + path, OperationID: id, Tags: []string{"rooms"}, Summary: summary + "; who knows the output's id needs no token",
		Responses: map[string]*huma.Response{"200": {Description: "it", Content: text(media)}, "default": problemResponse},
	}, handler)
}

// place adds to an output where it is fetched.
func (a *API) place(ctx context.Context, room string, st *mixer.OutputState) {
	base, _ := ctx.Value(baseKey).(string)
	at := base + prefix + "/rooms/" + room + "/outputs/" + st.ID
	switch {
	case st.Format == "hls":
		st.Path, st.Page = at+"/hls/index.m3u8", base+"/r/"+room+"/watch/"+st.ID
	case st.Format == "mpegts" && st.Target == "":
		st.Path = at + "/stream.ts"
	case st.Format == "rtp":
		st.Path = at + "/sdp"
	}
}

func (a *API) output(st mixer.OutputState, err error) func(context.Context, string) (*outputOutput, error) {
	return func(ctx context.Context, room string) (*outputOutput, error) {
		if err != nil {
			return nil, a.problem(err)
		}
		a.place(ctx, room, &st)
		return &outputOutput{st}, nil
	}
}

func (a *API) sdp(c *gin.Context) {
	text, err := a.cfg.Outputs.SDP(c.Param("room"), c.Param("output"))
	if err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.Data(http.StatusOK, "application/sdp", []byte(text))
}

func (a *API) hls(c *gin.Context) {
	name := c.Param("file")
	data, err := a.cfg.Outputs.HLS(c.Param("room"), c.Param("output"), name)
	if err != nil {
		a.fail(c, err)
		return
	}
	media := "video/mp4"
	c.Header("Cache-Control", "public, max-age=60, immutable") // a segment never changes
	if strings.HasSuffix(name, ".m3u8") {
		media = "application/vnd.apple.mpegurl"
		c.Header("Cache-Control", "no-cache")
	}
	c.Data(http.StatusOK, media, data)
}

// fetchTimeout is how long a client may take nothing of a stream.
const fetchTimeout = 10 * time.Second

func (a *API) streamTS(c *gin.Context) {
	if _, err := a.cfg.Outputs.Output(c.Param("room"), c.Param("output")); err != nil {
		a.fail(c, err)
		return
	}
	c.Header("Content-Type", "video/mp2t")
	c.Header("Cache-Control", "no-store")
	w := &streaming{ResponseController: http.NewResponseController(c.Writer), w: c.Writer}
	if err := a.cfg.Outputs.Fetch(c.Request.Context(), c.Param("room"), c.Param("output"), w); err != nil && !c.Writer.Written() {
		a.fail(c, err)
	}
}

// streaming writes an answer without an end: each write has its own deadline.
type streaming struct {
	*http.ResponseController
	w http.ResponseWriter
}

func (s *streaming) Write(p []byte) (int, error) {
	if err := s.SetWriteDeadline(time.Now().Add(fetchTimeout)); err != nil {
		return 0, err
	}
	n, err := s.w.Write(p)
	if err == nil {
		err = s.Flush()
	}
	return n, err
}
