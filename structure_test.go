package mixdown_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "mixdown"

// room is one row of the house's plan: the packages it is about, and those of
// this module they may import. A name stands for one package, name/... for it
// and all below it. The first row that fits a package holds.
type room struct {
	name  string
	knows []string
}

// plan is the arrows between packages as ARCHITECTURE.md draws them. They point
// one way, so that a codec, a layout or a transport can be read, tested and
// replaced without the rest.
var plan = []room{
	{"cmd/...", []string{"cmd/...", "api/...", "mixer/...", "compositor", "codec/..."}},
	{"scripts/...", nil},
	{"api/...", []string{"api/...", "mixer"}},
	{"mixer", []string{"compositor", "mixer/audio", "codec"}},
	{"mixer/audio", []string{"codec"}},
	{"mixer/jitter", []string{"codec"}},
	{"mixer/congestion", nil},
	{"mixer/outside", []string{"mixer/accept"}},
	{"mixer/accept", nil},
	{"mixer/webrtc/tcp", nil},
	{"mixer/webrtc/turn", []string{"mixer/webrtc/tcp"}},
	{"mixer/webrtc", []string{"mixer", "mixer/jitter", "mixer/congestion", "mixer/accept", "mixer/webrtc/tcp", "mixer/stream", "codec"}},
	{"mixer/stream", []string{"mixer", "mixer/jitter", "codec"}},
	{"mixer/rtp/bfcp", nil},
	{"mixer/rtp", []string{"mixer", "mixer/jitter", "mixer/rtp/bfcp", "mixer/stream", "codec"}},
	{"mixer/sip", []string{"mixer", "mixer/accept", "mixer/jitter", "mixer/rtp", "codec"}},
	{"mixer/record", []string{"mixer", "mixer/output", "codec"}},
	{"mixer/webhook", []string{"mixer", "mixer/outside"}},
	{"mixer/cast", []string{"mixer", "mixer/output", "mixer/outside", "codec"}},
	{"mixer/...", []string{"mixer", "mixer/jitter", "mixer/congestion", "mixer/outside", "codec"}}, // transports, inputs and outputs
	{"compositor", []string{"codec", "codec/yuv"}},
	{"codec", nil},
	{"codec/catalog", []string{"codec/..."}},
	{"codec/...", []string{"codec"}},
}

// homes says which foreign packages have a place, and where it is.
var homes = []struct {
	imported string
	in       []string
	why      string
}{
	{"C", []string{"codec/..."}, "cgo stays under codec"},
	{"github.com/asticode/go-astiav/...", []string{"codec/..."}, "FFmpeg stays under codec"},
	{"github.com/pion/webrtc/...", []string{"mixer/webrtc", "cmd/mixdown/load"}, "pion's peers stay inside the transport and the bots"},
	{"github.com/emiago/sipgo/...", []string{"mixer/sip"}, "SIP stays inside its user agent"},
	{"github.com/pion/turn/...", []string{"mixer/webrtc/turn"}, "TURN stays inside its server"},
	{"github.com/gin-gonic/gin/...", []string{"api/..."}, "HTTP stays inside api"},
}

func fits(pattern, name string) bool {
	base, tree := strings.CutSuffix(pattern, "/...")
	return name == base || tree && strings.HasPrefix(name, base+"/")
}

func fitsAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, name) })
}

// breach says what is wrong with package pkg importing what, or "".
func breach(pkg, what string) string {
	for _, home := range homes {
		if fits(home.imported, what) && !fitsAny(home.in, pkg) {
			return home.why
		}
	}
	target, ours := strings.CutPrefix(what, module+"/")
	if !ours {
		return ""
	}
	for _, r := range plan {
		if fits(r.name, pkg) {
			if fitsAny(r.knows, target) {
				return ""
			}
			return fmt.Sprintf("%s knows only %v", r.name, r.knows)
		}
	}
	return "the package stands in no room of the plan"
}

// breaches reads every Go file of the tree but its tests.
func breaches(tree fs.FS) (found []string, files int, err error) {
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := entry.Name()
			if name != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		files++
		for _, spec := range file.Imports {
			what, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if why := breach(path.Dir(name), what); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s: %s", name, what, why))
			}
		}
		return nil
	})
	return found, files, err
}

func TestArrowsPointOneWay(t *testing.T) {
	found, files, err := breaches(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if files < 5 {
		t.Fatalf("read only %d files: this is not the tree", files)
	}
	for _, b := range found {
		t.Error(b)
	}
}

// TestArrowsAreChecked plants imports of both sorts into a tree of their own.
func TestArrowsAreChecked(t *testing.T) {
	for _, c := range []struct {
		file, imports string
		allowed       bool
	}{
		{"cmd/mixdown/serve.go", "mixdown/mixer/webrtc", true},
		{"cmd/mixdown/load/bot.go", "github.com/pion/webrtc/v3", true},
		{"cmd/mixdown/serve.go", "github.com/pion/webrtc/v3", false},
		{"api/whip.go", "mixdown/mixer", true},
		{"api/server.go", "mixdown/api/web", true},
		{"api/whip.go", "mixdown/codec", false},
		{"api/whip.go", "mixdown/mixer/webrtc", false},
		{"api/whip.go", "github.com/pion/webrtc/v3", false},
		{"mixer/room.go", "mixdown/mixer/audio", true},
		{"mixer/room.go", "mixdown/codec/vpx", false},
		{"mixer/room.go", "mixdown/mixer/jitter", false},
		{"mixer/room.go", "mixdown/api", false},
		{"mixer/webrtc/peer.go", "github.com/pion/webrtc/v3", true},
		{"mixer/webrtc/peer.go", "mixdown/mixer/jitter", true},
		{"mixer/webrtc/sink.go", "mixdown/mixer/congestion", true},
		{"mixer/congestion/link.go", "mixdown/mixer", false},
		{"mixer/webrtc/peer.go", "mixdown/mixer/audio", false},
		{"mixer/sip/call.go", "mixdown/mixer/jitter", true},
		{"mixer/sip/call.go", "mixdown/mixer/webrtc", false},
		{"mixer/webrtc/turn/relay.go", "mixdown/mixer", false},
		{"mixer/webrtc/turn/relay.go", "github.com/pion/turn/v2", true},
		{"mixer/audio/mix.go", "mixdown/mixer", false},
		{"compositor/scale.go", "mixdown/codec/yuv", true},
		{"compositor/scale.go", "C", false},
		{"codec/vpx/encoder.go", "C", true},
		{"codec/vpx/encoder.go", "mixdown/codec/ffmpeg", false},
		{"codec/catalog/catalog.go", "mixdown/codec/ffmpeg", true},
		{"codec/codec.go", "mixdown/codec/vpx", false},
		{"codec/codec.go", "time", true},
		{"attic/box.go", "mixdown/codec", false},
		{"mixer/room_test.go", "mixdown/codec/vpx", true},
	} {
		source := fmt.Sprintf("package p\n\nimport %q\n", c.imports)
		found, _, err := breaches(fstest.MapFS{c.file: &fstest.MapFile{Data: []byte(source)}})
		if err != nil {
			t.Fatal(err)
		}
		if allowed := len(found) == 0; allowed != c.allowed {
			t.Errorf("%s importing %s: allowed %v, want %v %v", c.file, c.imports, allowed, c.allowed, found)
		}
	}
}
