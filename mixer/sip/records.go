package sip

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"mixdown/mixer"
)

// record is one call as it is written down: a line of JSON.
type record struct {
	ID        string        `json:"id"`
	Direction string        `json:"direction"` // in, out
	Room      string        `json:"room,omitempty"`
	Peer      string        `json:"peer"`
	Name      string        `json:"name"`
	Identity  string        `json:"identity,omitempty"`
	Address   string        `json:"address"`
	Transport string        `json:"transport"`
	Started   time.Time     `json:"started"`
	Answered  *time.Time    `json:"answered,omitempty"`
	Ended     time.Time     `json:"ended"`
	Duration  time.Duration `json:"duration_ns"` // since it was answered
	Code      int           `json:"code"`
	Reason    string        `json:"reason"`
	By        string        `json:"ended_by"` // caller, callee, room, server
	Media     LegFigures    `json:"media"`
}

func (c *call) record(v mixer.Call, f LegFigures) record {
	r := record{
		ID: v.ID, Direction: "in", Room: v.Room, Peer: v.Peer, Name: v.Name, Identity: v.Identity,
		Address: c.dialog.peer, Transport: c.dialog.via, Started: v.Started, Ended: c.overAt().UTC(),
		Code: c.end.code, Reason: c.end.reason, By: c.end.by, Media: f,
	}
	if v.Outgoing {
		r.Direction = "out"
	}
	if !v.Answered.IsZero() {
		r.Answered = &v.Answered
		r.Duration = r.Ended.Sub(v.Answered)
	}
	return r
}

// records is the file that calls are written down in. When it is full it is
// put aside under the time's name and a new one begun: whoever bills takes those
// away, nothing here deletes any.
type records struct {
	path string
	most int64

	mu   sync.Mutex
	file *os.File
	size int64
	lost int // not written
}

func openRecords(path string, most int64) (*records, error) {
	r := &records{path: path, most: most}
	if path == "" {
		return r, nil
	}
	return r, r.open()
}

func (r *records) open() error {
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("sip.records.file: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("sip.records.file: %w", err), f.Close())
	}
	r.file, r.size = f, info.Size()
	return nil
}

// write writes one line. What cannot be written is counted: no call fails
// for it.
func (r *records) write(rec record) {
	if r.path == "" {
		return
	}
	line, err := json.Marshal(rec)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.append(append(line, '\n'))
	}
	if err != nil {
		r.lost++
	}
}

func (r *records) append(line []byte) error {
	if r.file == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	if r.size > 0 && r.size+int64(len(line)) > r.most {
		if err := r.turn(); err != nil {
			return err
		}
	}
	n, err := r.file.Write(line)
	r.size += int64(n)
	return err
}

// turn puts the file aside.
func (r *records) turn() error {
	err := r.file.Close()
	r.file = nil
	aside := r.path + "." + time.Now().UTC().Format("20060102T150405.000000000Z")
	if err := errors.Join(err, os.Rename(r.path, aside)); err != nil {
		return err
	}
	return r.open()
}

func (r *records) failed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

func (r *records) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return nil
	}
	err := r.file.Close()
	r.file = nil
	return err
}
