package api

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/big"
	"os"
	"slices"
	"sync"
	"time"

	"mixdown/mixer"
)

var errRoomExists = errors.New("room exists already")

// RoomKeys is a room that was made by REST, with the keys that open it.
type RoomKeys struct {
	Name    string    `json:"name"`
	JoinKey string    `json:"join_key"`
	HostKey string    `json:"host_key"`
	PIN     string    `json:"pin"`      // lets telephones in, as participants
	HostPIN string    `json:"host_pin"` // likewise, as hosts
	Created time.Time `json:"created"`
	// Record, if given, is how the room is recorded while somebody sends in it.
	Record *mixer.RecordingSpec `json:"record,omitempty"`
}

// Role returns what a key makes of its bearer. It takes the same time for all
// keys.
func (k RoomKeys) Role(key string) (mixer.Role, bool) {
	// Hashes have one length, keys do not.
	got := sha256.Sum256([]byte(key))
	join, host := sha256.Sum256([]byte(k.JoinKey)), sha256.Sum256([]byte(k.HostKey))
	isJoin := subtle.ConstantTimeCompare(got[:], join[:]) == 1
	isHost := subtle.ConstantTimeCompare(got[:], host[:]) == 1
	switch {
	case isHost:
		return mixer.Host, true
	case isJoin:
		return mixer.Participant, true
	}
	return "", false
}

// Registry keeps the rooms and their keys in a file, so that links outlive a
// restart.
type Registry struct {
	path string

	mu    sync.Mutex
	rooms map[string]RoomKeys
}

// OpenRegistry reads the file at path, which need not exist. An empty path
// keeps the rooms in memory only.
func OpenRegistry(path string) (*Registry, error) {
	r := &Registry{path: path, rooms: map[string]RoomKeys{}}
	if path == "" {
		return r, nil
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("room registry: %w", err)
	}
	var list []RoomKeys
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("room registry %s: %w; mend or remove the file", path, err)
	}
	for _, k := range list {
		if !validRoom(k.Name) || k.JoinKey == "" || k.HostKey == "" {
			return nil, fmt.Errorf("room registry %s: room %q: needs a name, a join_key and a host_key", path, k.Name)
		}
		r.rooms[k.Name] = k
	}
	return r, r.fillPINs()
}

// fillPINs gives one to rooms from before there were any.
func (r *Registry) fillPINs() error {
	missing := false
	for name, k := range r.rooms {
		for _, pin := range []*string{&k.PIN, &k.HostPIN} {
			if *pin == "" {
				*pin = r.newPIN()
				r.rooms[name], missing = k, true
			}
		}
	}
	if !missing {
		return nil
	}
	return r.save()
}

// pinDigits makes PINs that are not found by trying: a caller has three tries,
// an address thirty and then one in three seconds.
const pinDigits = 8

// newPIN makes one that no room has. What it is for must be kept in rooms before
// the next one is made.
func (r *Registry) newPIN() string {
	for {
		n, err := rand.Int(rand.Reader, big.NewInt(9*int64(math.Pow10(pinDigits-1))))
		if err != nil {
			panic(err) // there is no randomness to go on with
		}
		pin := n.Add(n, big.NewInt(int64(math.Pow10(pinDigits-1)))).String()
		if _, _, taken := r.byPIN(pin); !taken {
			return pin
		}
	}
}

// ByPIN finds the room that a PIN opens, and what it makes of who has it.
func (r *Registry) ByPIN(pin string) (room string, role mixer.Role, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byPIN(pin)
}

func (r *Registry) byPIN(pin string) (room string, role mixer.Role, ok bool) {
	got := sha256.Sum256([]byte(pin))
	opens := func(pin string) bool {
		have := sha256.Sum256([]byte(pin))
		return pin != "" && subtle.ConstantTimeCompare(got[:], have[:]) == 1
	}
	for name, k := range r.rooms {
		if opens(k.PIN) {
			room, role, ok = name, mixer.Participant, true
		}
		if opens(k.HostPIN) {
			room, role, ok = name, mixer.Host, true
		}
	}
	return room, role, ok
}

// Create keeps a room; keys that are empty are made.
func (r *Registry) Create(name, joinKey, hostKey string, now time.Time) (RoomKeys, error) {
	if !validRoom(name) {
		return RoomKeys{}, badRoomName(name)
	}
	k := RoomKeys{
		Name:    name,
		JoinKey: cmp.Or(joinKey, randomText(16)),
		HostKey: cmp.Or(hostKey, randomText(16)),
		Created: now.UTC().Truncate(time.Second),
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.rooms[name]; ok {
		return RoomKeys{}, fmt.Errorf("room %q: %w; delete it first or take another name", name, errRoomExists)
	}
	k.PIN = r.newPIN()
	r.rooms[name] = k
	k.HostPIN = r.newPIN()
	r.rooms[name] = k
	if err := r.save(); err != nil {
		delete(r.rooms, name)
		return RoomKeys{}, err
	}
	return k, nil
}

// SetRecord changes how a room is recorded by itself; nil: not.
func (r *Registry) SetRecord(name string, spec *mixer.RecordingSpec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.rooms[name]
	if !ok {
		return fmt.Errorf("room %q: %w", name, mixer.ErrNoRoom)
	}
	before := k
	k.Record = spec
	r.rooms[name] = k
	if err := r.save(); err != nil {
		r.rooms[name] = before
		return err
	}
	return nil
}

// Get returns a room.
func (r *Registry) Get(name string) (RoomKeys, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.rooms[name]
	return k, ok
}

// Delete forgets a room and reports whether there was one.
func (r *Registry) Delete(name string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.rooms[name]
	if !ok {
		return false, nil
	}
	delete(r.rooms, name)
	if err := r.save(); err != nil {
		r.rooms[name] = k
		return false, err
	}
	return true, nil
}

// List returns all rooms by name.
func (r *Registry) List() []RoomKeys {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list()
}

func (r *Registry) list() []RoomKeys {
	return slices.SortedFunc(maps.Values(r.rooms), func(a, b RoomKeys) int { return cmp.Compare(a.Name, b.Name) })
}

// save is called with mu held: what is on disk is what was last told.
func (r *Registry) save() error {
	if r.path == "" {
		return nil
	}
	if err := writeJSON(r.path, r.list()); err != nil {
		return fmt.Errorf("room registry: %w", err)
	}
	return nil
}
