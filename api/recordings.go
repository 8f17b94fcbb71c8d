package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"

	"mixdown/mixer"
)

// Recorder keeps recordings of rooms. It is spoken to in plain data, so that it
// may run in another process.
type Recorder interface {
	Start(ctx context.Context, room, by string, spec mixer.RecordingSpec) (mixer.Recording, error)
	Pause(room, id string) (mixer.Recording, error)
	Resume(room, id string) (mixer.Recording, error)
	Stop(room, id string) (mixer.Recording, error)
	Get(room, id string) (mixer.Recording, error)
	List(room string) []mixer.Recording
	File(room, id, name string) (io.ReadSeekCloser, mixer.RecordingFile, error)
	Delete(ctx context.Context, room, id string) error
	// Check says what Start would find wrong with a spec.
	Check(room string, spec mixer.RecordingSpec) error
	// Auto records a room by itself while somebody sends in it.
	Auto(room string, spec mixer.RecordingSpec)
}

// RecordingPath names a recording; huma wants it exported to see into it.
type RecordingPath struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	ID   string `path:"recording" maxLength:"64" doc:"of the recording"`
}

type recordInput struct {
	Room string `path:"room" maxLength:"64" example:"demo"`
	Body *mixer.RecordingSpec
}

type recordingOutput struct{ Body mixer.Recording }

func (a *API) recordingRoutes() {
	if a.cfg.Recorder == nil {
		return
	}
	const all, one = "/rooms/{room}/recordings", "/rooms/{room}/recordings/{recording}"
	host := func(ctx context.Context, room string) error {
		if !bearer(ctx).Host(room) {
			return forbidden("only a host of room %q may do this", room)
		}
		return nil
	}

	start := operation(http.MethodPost, all, "start-recording", "Start recording a room (a host); what is left out is as configured", guarded,
		http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable, http.StatusInsufficientStorage)
	start.DefaultStatus = http.StatusCreated
	huma.Register(a.rest, start, func(ctx context.Context, in *recordInput) (*recordingOutput, error) {
		if err := host(ctx, in.Room); err != nil {
			return nil, err
		}
		if err := a.ensure(in.Room); err != nil {
			return nil, a.problem(err)
		}
		var spec mixer.RecordingSpec
		if in.Body != nil {
			spec = *in.Body
		}
		return a.recording(a.cfg.Recorder.Start(ctx, in.Room, bearer(ctx).ID, spec))
	})
	huma.Register(a.rest, operation(http.MethodGet, all, "list-recordings", "List a room's recordings, oldest first (a host)", guarded),
		func(ctx context.Context, in *roomPath) (*struct{ Body []mixer.Recording }, error) {
			if err := host(ctx, in.Room); err != nil {
				return nil, err
			}
			return &struct{ Body []mixer.Recording }{a.cfg.Recorder.List(in.Room)}, nil
		})
	huma.Register(a.rest, operation(http.MethodGet, one, "get-recording", "Show a recording (a host)", guarded, http.StatusNotFound),
		func(ctx context.Context, in *RecordingPath) (*recordingOutput, error) {
			if err := host(ctx, in.Room); err != nil {
				return nil, err
			}
			return a.recording(a.cfg.Recorder.Get(in.Room, in.ID))
		})
	huma.Register(a.rest, operation(http.MethodDelete, one, "delete-recording", "Delete a recording that has ended (a host)", guarded, http.StatusNotFound, http.StatusConflict),
		func(ctx context.Context, in *RecordingPath) (*struct{}, error) {
			if err := host(ctx, in.Room); err != nil {
				return nil, err
			}
			if err := a.cfg.Recorder.Delete(ctx, in.Room, in.ID); err != nil {
				return nil, a.problem(err)
			}
			return nil, nil
		})
	for _, c := range []struct {
		what, summary string
		do            func(room, id string) (mixer.Recording, error)
	}{
		{"pause", "Leave out what comes until it is resumed (a host)", a.cfg.Recorder.Pause},
		{"resume", "Go on with a paused recording, in the same file (a host)", a.cfg.Recorder.Resume},
		{"stop", "End a recording (a host); it is complete when its state is done", a.cfg.Recorder.Stop},
	} {
		huma.Register(a.rest, operation(http.MethodPost, one+"/"+c.what, c.what+"-recording", c.summary, guarded, http.StatusNotFound, http.StatusConflict),
			func(ctx context.Context, in *RecordingPath) (*recordingOutput, error) {
				if err := host(ctx, in.Room); err != nil {
					return nil, err
				}
				return a.recording(c.do(in.Room, in.ID))
			})
	}
	a.rawOperation(opRecordingFile, a.recordingFile)
}

func (a *API) recording(rec mixer.Recording, err error) (*recordingOutput, error) {
	if err != nil {
		return nil, a.problem(err)
	}
	return &recordingOutput{rec}, nil
}

var opRecordingFile = &huma.Operation{
	Method:      http.MethodGet,
	Path:        prefix + "/rooms/{room}/recordings/{recording}/files/{file}",
	OperationID: "get-recording-file",
	Summary:     "Download a file of a recording, in ranges if asked (RFC 9110, section 14); one that is being recorded ends where it has got to",
	Tags:        []string{"rooms"},
	Security:    guarded,
	Parameters:  []*huma.Param{queryParameter("token", "for players and links, which can set no header")},
	Responses: map[string]*huma.Response{
		"200":     {Description: "the file", Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}},
		"206":     {Description: "a range of it"},
		"default": problemResponse,
	},
}

func (a *API) recordingFile(c *gin.Context) {
	room := c.Param("room")
	b, err := a.authorize(c.GetHeader("Authorization"), c.Query("token"), room)
	if err == nil && !b.Host(room) {
		err = forbidden("only a host of room %q may do this", room)
	}
	if err != nil {
		a.fail(c, err)
		return
	}
	f, info, err := a.cfg.Recorder.File(room, c.Param("recording"), c.Param("file"))
	if err != nil {
		a.fail(c, err)
		return
	}
	defer f.Close()
	// A film takes longer than other answers may.
	_ = http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(6 * time.Hour))
	h := c.Writer.Header()
	h.Set("Content-Type", info.Type)
	h.Set("Cache-Control", "private, no-store")
	h.Set("Content-Disposition", `inline; filename="`+room+"-"+c.Param("recording")+"-"+info.Name+`"`)
	if info.SHA256 != "" {
		h.Set("ETag", `"`+info.SHA256+`"`)
	}
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, f)
}

// eventMessage is what hosts are told of as it happens.
type eventMessage struct {
	Type  string      `json:"type"`
	Event mixer.Event `json:"event"`
}

// Event sends an event to the control connections of the room's hosts. It
// never blocks: who does not read misses it, and is sent the state instead.
func (a *API) Event(e mixer.Event) { a.meters.missed.Add(float64(a.hub.tell(e))) }

// tell returns for how many there was no room.
func (h *hub) tell(e mixer.Event) (missed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.live {
		if s.room == e.Room && s.who.Host(e.Room) {
			select {
			case s.replies <- eventMessage{"event", e}:
			default:
				s.missed.Add(1)
				missed++
			}
		}
	}
	return missed
}

// record asks for a room to be recorded by itself if its registry says so.
func (a *API) record(room string) {
	keys, known := a.cfg.Registry.Get(room)
	if a.cfg.Recorder == nil || !known || keys.Record == nil {
		return
	}
	a.cfg.Recorder.Auto(room, *keys.Record)
}
