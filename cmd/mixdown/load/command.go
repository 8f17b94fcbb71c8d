package load

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mixdown/api"
)

// Command is `mixdown load`, with its flags as kong reads them.
type Command struct {
	URL           string        `help:"The server (${default})." default:"http://127.0.0.1:8080" placeholder:"URL"`
	Room          string        `help:"The room to join; it is made if the key pair may (${default})." default:"demo" placeholder:"NAME"`
	Bots          int           `help:"How many bots join, send and receive (${default})." default:"9" placeholder:"N"`
	Viewers       int           `help:"How many more only receive (WHEP; ${default})." default:"0" placeholder:"N"`
	Rooms         int           `help:"Join this many rooms, NAME-1, NAME-2 and so on, with so many bots and viewers each (${default})." default:"1" placeholder:"N"`
	Listen        int           `help:"How many of them decode what they get and look for every tile and tone (${default})." default:"1" placeholder:"N"`
	Duration      time.Duration `help:"How long to stay once all have joined; 0 until stopped." default:"30s"`
	Settle        time.Duration `help:"How much of that passes before rates, gaps and losses are counted (${default})." default:"0s"`
	JSON          string        `name:"json" help:"Write the outcome as JSON, too; - writes it to the standard output." placeholder:"FILE"`
	JoinKey       string        `help:"Join as people do, with the room's key (what stands behind # in its link), instead of minting tokens." placeholder:"KEY"`
	APIKey        string        `name:"api-key" env:"MIXDOWN_API_KEY" help:"Key id to mint tokens with." placeholder:"ID"`
	APISecret     string        `name:"api-secret" env:"MIXDOWN_API_SECRET" help:"Its secret." placeholder:"SECRET"`
	DataDir       string        `help:"The server's data directory, to take the key pair from if none is given (${default})." env:"MIXDOWN_DATA_DIR" default:"data" placeholder:"DIR"`
	Cache         string        `help:"Where clips are kept from run to run (default: the user's cache directory)." placeholder:"DIR"`
	Size          string        `help:"Size of the pictures that bots send (${default})." default:"640x360" placeholder:"WxH"`
	FPS           int           `name:"fps" help:"Their frames a second (${default})." default:"25" placeholder:"N"`
	Bitrate       int           `help:"Their bit rate, kb/s (${default})." default:"500" placeholder:"N"`
	Sound         string        `help:"What bots say: speech (by espeak-ng, over a quiet tone) or tones alone, which measure better." enum:"speech,tones" default:"speech"`
	Talkers       int           `help:"How many speak at once (${default})." default:"4" placeholder:"N"`
	Names         bool          `help:"Give bots people's names." default:"true" negatable:""`
	Prefix        string        `help:"What bots' identities begin with (default: bot and three random digits, so that two runs do not take each other's places)." placeholder:"TEXT"`
	First         int           `help:"Number of the first bot. Another run in the same room needs other numbers." default:"0" placeholder:"N"`
	StartInterval time.Duration `help:"Time between two joins." default:"50ms"`
	Hostile       []string      `help:"Send in hostile senders beside the bots, one of each kind: truncated, contradictory, huge, tiny, resize, bomb, timestamps, ssrcs, garbage, keyframes, opus, feedback, stun, or all." placeholder:"KIND"`
	Tier          string        `help:"The tier of the mix to ask for." placeholder:"NAME"`
	Takes         []string      `help:"Codecs of pictures that they take, best first (${default}). Those that send need VP8 among them, and those that decode take it alone." default:"VP8" placeholder:"NAME"`
	Insecure      bool          `help:"Accept a self-signed certificate."`
	Verbose       bool          `help:"Log what each bot goes through." short:"v"`
}

// Validate is called by kong before Run.
func (c *Command) Validate() error {
	if _, err := parseBase(c.URL); err != nil {
		return err
	}
	if _, _, err := c.size(); err != nil {
		return err
	}
	if c.Bitrate < 50 || c.Bitrate > 20000 {
		return fmt.Errorf("--bitrate %d: must be 50 to 20000 kb/s", c.Bitrate)
	}
	if c.Talkers < 0 || c.Viewers < 0 || c.Listen < 0 || c.Duration < 0 || c.StartInterval < 0 || c.Settle < 0 {
		return errors.New("--talkers, --viewers, --listen, --duration, --settle and --start-interval must not be negative")
	}
	if c.Duration > 0 && c.Settle >= c.Duration {
		return fmt.Errorf("--settle %v: must be shorter than --duration %v", c.Settle, c.Duration)
	}
	if c.Rooms < 1 {
		return fmt.Errorf("--rooms %d: must be at least 1", c.Rooms)
	}
	if c.Rooms > 1 && c.JoinKey != "" {
		return errors.New("--join-key opens one room: --rooms wants the server's key pair")
	}
	if _, err := parseHostile(c.Hostile); err != nil {
		return err
	}
	if len(c.Hostile) > 0 && c.Rooms > 1 {
		return errors.New("--hostile goes into one room: leave --rooms out")
	}
	switch {
	case c.Bots > 0 && !slices.ContainsFunc(c.Takes, isVP8):
		return fmt.Errorf("--takes %v: bots send VP8, and have to offer it", c.Takes)
	case c.Listen > 0 && (len(c.Takes) != 1 || !isVP8(c.Takes[0])):
		return fmt.Errorf("--takes %v: who decodes takes VP8 alone: --listen 0", c.Takes)
	}
	if c.Bots+c.Viewers == 0 {
		return errors.New("--bots 0 --viewers 0: nobody is to join")
	}
	all := c.schedule()
	all.Bots *= c.Rooms
	return all.Validate()
}

func isVP8(name string) bool { return strings.EqualFold(name, "VP8") }

// each returns what is asked for room by room; bots are numbered through, and
// the first of them listen.
func (c *Command) each() []Command {
	rooms := make([]Command, c.Rooms)
	for i := range rooms {
		r := *c
		if c.Rooms > 1 {
			r.Room = fmt.Sprintf("%s-%d", c.Room, i+1)
		}
		r.First += i * c.Bots
		r.Listen = max(0, c.Listen-i*(c.Bots+c.Viewers))
		rooms[i] = r
	}
	return rooms
}

func (c *Command) schedule() Schedule {
	return Schedule{FPS: c.FPS, Bots: c.Bots, First: c.First, Talkers: c.Talkers}
}

// size parses --size.
func (c *Command) size() (w, h int, err error) {
	if n, err := fmt.Sscanf(c.Size, "%dx%d", &w, &h); n != 2 || err != nil || fmt.Sprintf("%dx%d", w, h) != c.Size {
		return 0, 0, fmt.Errorf("--size %q: want WIDTHxHEIGHT, such as 640x360", c.Size)
	}
	if w < 160 || h < 90 || w > 3840 || h > 2160 || w%2 != 0 || h%2 != 0 {
		return 0, 0, fmt.Errorf("--size %s: must be even and 160x90 to 3840x2160", c.Size)
	}
	return w, h, nil
}

// door says how bots get in.
func (c *Command) door() (*Door, error) {
	base, err := parseBase(c.URL)
	if err != nil {
		return nil, err
	}
	d := &Door{Base: base, Room: c.Room, Tier: c.Tier, Key: c.JoinKey, Client: newClient(c.Insecure), Timeout: 15 * time.Second}
	if c.JoinKey != "" {
		return d, nil
	}
	keys := api.Keys{ID: c.APIKey, Secret: c.APISecret}
	if keys.ID == "" && keys.Secret == "" {
		path := filepath.Join(c.DataDir, "keys.json")
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("no way into room %q: set MIXDOWN_API_KEY and MIXDOWN_API_SECRET, or give the server's --data-dir (%w), or the room's --join-key", c.Room, err)
		}
		if keys, _, err = api.LoadKeys(path); err != nil {
			return nil, err
		}
	}
	if err := keys.Validate(); err != nil {
		return nil, fmt.Errorf("MIXDOWN_API_KEY, MIXDOWN_API_SECRET: %w", err)
	}
	d.Keys = &keys
	return d, nil
}
