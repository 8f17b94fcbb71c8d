package sip

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mixdown/mixer"
)

// Action is what keys do in a room.
type Action string

const (
	Mute    Action = "mute"     // one's own sound, and back
	Camera  Action = "camera"   // one's own picture, and back
	Hand    Action = "hand"     // raises one's own, and lowers it
	Layout  Action = "layout"   // the next one of mixer.Layouts; hosts
	MuteAll Action = "mute_all" // everybody else's sound; hosts
	Lock    Action = "lock"     // keeps newcomers out, and lets them in; hosts
	Help    Action = "help"     // says what there is
)

func actions() []Action { return []Action{Mute, Camera, Hand, Layout, MuteAll, Lock, Help} }

func (a Action) valid() bool { return slices.Contains(actions(), a) }

// hosts reports whether only they may do it.
func (a Action) hosts() bool { return a == Layout || a == MuteAll || a == Lock }

// validKeys tells whether keys can be told from single ones pressed by chance.
func validKeys(keys string) bool {
	return len(keys) >= 2 && len(keys) <= 4 && (keys[0] == '*' || keys[0] == '#') && strings.Trim(keys[1:], "0123456789") == ""
}

// menu is what was pressed so far, and what of it holds.
type menu struct {
	keys          string
	muted, hidden bool
}

// menuWait is how long half a command is remembered.
const menuWait = 4 * time.Second

func (m *menu) clear() { m.keys = "" }

// menuKey takes a key in a room.
func (c *call) menuKey(key rune) {
	if key == '*' || key == '#' {
		c.menu.clear()
	}
	c.menu.keys += string(key)
	c.clock.in(alarmMenu, menuWait)
	if action, ok := c.e.cfg.Menu[c.menu.keys]; ok {
		c.menu.clear()
		c.act(action)
		return
	}
	for keys := range c.e.cfg.Menu {
		if strings.HasPrefix(keys, c.menu.keys) {
			return
		}
	}
	c.menu.clear()
}

// act does what a command says, and says what it did.
func (c *call) act(a Action) {
	if a.hosts() && c.role != mixer.Host {
		c.say(promptHostsOnly)
		return
	}
	said, err := c.command(a)
	if err != nil {
		c.log.Warn("command not done", "action", a, "error", err)
		return
	}
	c.log.Info("command by keys", "action", a)
	c.say(said)
}

// command does it, and returns what is to be said.
func (c *call) command(a Action) (prompt, error) {
	v, rooms := c.view(), c.e.rooms
	switch a {
	case Mute:
		on := c.menu.muted
		err := c.switchMedia(v, &on, nil)
		if err == nil {
			c.menu.muted = !on
		}
		return pick(on, promptUnmuted, promptMuted), err
	case Camera:
		on := c.menu.hidden
		err := c.switchMedia(v, nil, &on)
		if err == nil {
			c.menu.hidden = !on
		}
		return pick(on, promptCameraOn, promptCameraOff), err
	case Help:
		return pick(c.role == mixer.Host, promptHostKeys, promptKeys), nil
	}
	// The rest others change as well: what holds is the room's to say.
	state, err := rooms.State(v.Room)
	if err != nil {
		return "", err
	}
	switch a {
	case Hand:
		up := !slices.ContainsFunc(state.Participants, func(m mixer.Member) bool { return m.ID == v.Identity && !m.Hand.IsZero() })
		return pick(up, promptHandUp, promptHandDown), rooms.SetHand(v.Room, v.Identity, up)
	case Layout:
		all := mixer.Layouts()
		next := all[(slices.Index(all, state.Layout)+1)%len(all)]
		return prompt("layout-" + next), rooms.SetLayout(v.Room, next)
	case Lock:
		return pick(state.Locked, promptUnlocked, promptLocked), rooms.SetLocked(v.Room, !state.Locked)
	case MuteAll:
		return promptAllMuted, c.muteOthers(v, state)
	}
	return "", fmt.Errorf("%q is no command", a)
}

// switchMedia switches the caller's own sound or camera. A leg does it itself, for
// it knows as well whether any come; a browser's call has none.
func (c *call) switchMedia(v mixer.Call, audio, video *bool) error {
	if c.leg != nil {
		return c.leg.Switch(audio, video)
	}
	return c.e.rooms.SetMedia(v.Room, v.Identity, audio, video)
}

func pick(yes bool, a, b prompt) prompt {
	if yes {
		return a
	}
	return b
}

func (c *call) muteOthers(v mixer.Call, state mixer.State) error {
	mute := true
	for _, m := range state.Participants {
		if m.ID == v.Identity || !m.Publishes {
			continue
		}
		if err := c.e.rooms.Mute(v.Room, m.ID, &mute, nil); err != nil {
			return err
		}
	}
	return nil
}
