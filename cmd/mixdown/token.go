package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mixdown/api"
	"mixdown/mixer"
)

// Token is `mixdown token`.
type Token struct {
	Room     string        `required:"" placeholder:"ROOM" help:"Room that the token is for; '*' is all rooms, with --role host an operator's token."`
	Identity string        `required:"" placeholder:"ID" help:"Who its bearer is; one identity is one person in a room."`
	Name     string        `placeholder:"NAME" help:"As others see it; the identity if absent."`
	Role     string        `default:"participant" enum:"host,participant,viewer" help:"${enum}."`
	TTL      time.Duration `name:"ttl" default:"24h" help:"How long it is good."`
	DataDir  *string       `name:"data-dir" placeholder:"DIR" help:"Where the server keeps its key pair, if MIXDOWN_API_KEY and MIXDOWN_API_SECRET are not set." key:"data_dir"`
	Config   string        `placeholder:"FILE" help:"The server's YAML file."`
}

// Run prints one token.
func (t *Token) Run(out io.Writer) error {
	cfg, _, err := Load(t.Config, os.Environ(), flagKeys(t))
	if err != nil {
		return err
	}
	keys, err := tokenKeys(cfg)
	if err != nil {
		return err
	}
	token, err := keys.Mint(mixer.Identity{ID: t.Identity, Name: t.Name, Role: mixer.Role(t.Role)}, t.Room, time.Now(), t.TTL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, token)
	return err
}

// tokenKeys finds the server's key pair, and does not make one: no server
// would know it.
func tokenKeys(cfg Config) (api.Keys, error) {
	if cfg.API.Key != "" {
		return api.Keys{ID: cfg.API.Key, Secret: cfg.API.Secret}, nil
	}
	path := keysFile(cfg)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return api.Keys{}, fmt.Errorf("no key pair: %s is not there; set MIXDOWN_API_KEY and MIXDOWN_API_SECRET, or name the server's --data-dir after its first start", path)
	}
	keys, _, err := api.LoadKeys(path)
	return keys, err
}

func keysFile(cfg Config) string { return filepath.Join(cfg.DataDir, "keys.json") }
