package compositor

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/go-text/typesetting/font"
	ot "github.com/go-text/typesetting/font/opentype"
	"github.com/go-text/typesetting/font/opentype/tables"
	"golang.org/x/image/font/gofont/goregular"
)

// systemFonts are the directories of the XDG and FHS customs.
func systemFonts() []string {
	dirs := []string{"/usr/share/fonts", "/usr/local/share/fonts"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".local/share/fonts"), filepath.Join(home, ".fonts"))
	}
	return dirs
}

// fonts finds a face for each character. Only the character tables are read
// at the start; a font is loaded when it is first needed, for hundreds are
// installed and a room needs two.
type fonts struct {
	files   []fontFile
	builtin *font.Face
}

type fontFile struct {
	path  string
	chars font.Cmap
	face  *font.Face // nil until needed
	bad   bool       // could not be loaded
}

// open looks for fonts in the trees under dirs. What cannot be read or is no
// font is passed over.
func (fs *fonts) open(dirs []string) error {
	face, err := font.ParseTTF(bytes.NewReader(goregular.TTF))
	if err != nil {
		return fmt.Errorf("built-in font: %w", err)
	}
	fs.builtin = face
	for _, path := range fontPaths(dirs) {
		if chars, err := readChars(path); err == nil {
			fs.files = append(fs.files, fontFile{path: path, chars: chars})
		}
	}
	return nil
}

// first is the face that sets the height of lines.
func (fs *fonts) first() *font.Face { return fs.builtin }

// ResolveFace implements shaping.Fontmap. It returns the built-in face for
// what no font has: that one draws a box.
func (fs *fonts) ResolveFace(r rune) *font.Face {
	for i := range fs.files {
		f := &fs.files[i]
		if f.bad {
			continue
		}
		if _, ok := f.chars.Lookup(r); !ok {
			continue
		}
		if f.face == nil {
			face, err := readFace(f.path)
			if err != nil {
				f.bad = true
				continue
			}
			f.face = face
		}
		return f.face
	}
	return fs.builtin
}

// fontPaths lists the regular upright fonts, best first.
func fontPaths(dirs []string) []string {
	var paths []string
	for _, dir := range dirs {
		// A directory that is not there is no error: no system has all of them.
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && rank(path) < unfit {
				paths = append(paths, path)
			}
			return nil
		})
	}
	sort.SliceStable(paths, func(i, j int) bool {
		a, b := rank(paths[i]), rank(paths[j])
		return a < b || a == b && paths[i] < paths[j]
	})
	return paths
}

const unfit = 100

// rank says how good a font is for a name, by its file's name: 0 is best.
func rank(path string) int {
	name := strings.ToLower(filepath.Base(path))
	switch filepath.Ext(name) {
	case ".ttf", ".otf", ".ttc":
	default:
		return unfit
	}
	for _, style := range []string{"bold", "italic", "oblique", "mono", "light", "thin", "condensed", "black", "medium", "lastresort"} {
		if strings.Contains(name, style) {
			return unfit
		}
	}
	switch {
	case strings.HasPrefix(name, "notosans-"):
		return 0
	case name == "dejavusans.ttf":
		return 1
	case strings.HasPrefix(name, "notosanscjk"):
		return 2
	case strings.HasPrefix(name, "notosans") && !strings.Contains(name, "symbols"):
		return 3
	case strings.Contains(name, "emoji"):
		return 4
	case strings.Contains(name, "sans"):
		return 5
	case strings.Contains(name, "serif"):
		return 7
	}
	return 6
}

// readChars reads which characters a font has.
func readChars(path string) (font.Cmap, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	loaders, err := ot.NewLoaders(f)
	if err != nil {
		return nil, err
	}
	raw, err := loaders[0].RawTable(ot.MustNewTag("cmap"))
	if err != nil {
		return nil, err
	}
	table, _, err := tables.ParseCmap(raw)
	if err != nil {
		return nil, err
	}
	chars, _, err := font.ProcessCmap(table, tables.FPNone)
	return chars, err
}

// readFace loads a font; of a collection the first.
func readFace(path string) (*font.Face, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	faces, err := font.ParseTTC(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if len(faces) == 0 {
		return nil, fmt.Errorf("%s: no font in it", path)
	}
	return faces[0], nil
}
