package sip

import (
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
	MuteAll Action = "mute_all" // everybody else's sound; hosts
	Help    Action = "help"     // says what there is
)

func actions() []Action { return []Action{Mute, Camera, MuteAll, Help} }

func (a Action) valid() bool { return slices.Contains(actions(), a) }

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
	v := c.view()
	said, err := promptHelp, error(nil)
	switch a {
	case Mute:
		off := !c.menu.muted
		on := !off
		if err = c.e.rooms.SetMedia(v.Room, v.Identity, &on, nil); err == nil {
			c.menu.muted = off
		}
		said = pick(off, promptMuted, promptUnmuted)
	case Camera:
		off := !c.menu.hidden
		on := !off
		if err = c.e.rooms.SetMedia(v.Room, v.Identity, nil, &on); err == nil {
			c.menu.hidden = off
		}
		said = pick(off, promptCameraOff, promptCameraOn)
	case MuteAll:
		if c.role != mixer.Host {
			said = promptHostsOnly
			break
		}
		said, err = promptAllMuted, c.muteOthers(v)
	}
	if err != nil {
		c.log.Warn("command not done", "action", a, "error", err)
		return
	}
	c.log.Info("command by keys", "action", a)
	c.say(said)
}

func pick(yes bool, a, b prompt) prompt {
	if yes {
		return a
	}
	return b
}

func (c *call) muteOthers(v mixer.Call) error {
	state, err := c.e.rooms.State(v.Room)
	if err != nil {
		return err
	}
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
