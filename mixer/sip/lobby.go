package sip

import (
	"strings"
	"time"

	"mixdown/mixer"
)

// lobby is where a caller is asked for a PIN.
type lobby struct {
	open    bool
	keys    strings.Builder
	wrong   int
	leaving bool
	last    ending // said goodbye for
}

const (
	maxWrong  = 3
	maxPIN    = 16
	lobbyWait = 30 * time.Second // for the next key
)

// ask begins to ask for the PIN.
func (c *call) ask() {
	c.lobby.open = true
	c.show(func(v *mixer.Call) { v.State = mixer.CallAsking })
	c.say(promptPIN)
	c.clock.in(alarmLobby, lobbyWait)
}

// pressed takes a key in the lobby: # ends the PIN, * begins it anew.
func (c *call) pressed(key rune) {
	if c.lobby.leaving {
		return
	}
	if c.lobby.keys.Len() == 0 && c.leg != nil {
		c.leg.Play(nil) // who presses keys has heard enough
	}
	c.clock.in(alarmLobby, lobbyWait)
	switch {
	case key == '*':
		c.lobby.keys.Reset()
		c.say(promptPIN)
		return
	case key >= '0' && key <= '9':
		if c.lobby.keys.Len() < maxPIN {
			c.lobby.keys.WriteRune(key)
		}
		return
	case key != '#' || c.lobby.keys.Len() == 0:
		return
	}
	pin := c.lobby.keys.String()
	c.lobby.keys.Reset()
	room, role, ok := c.e.door.tryPIN(pin, c.to, c.from.Addr(), time.Now())
	if ok {
		c.role = higher(c.role, role)
		c.enter(room)
		return
	}
	c.e.count.wrongPINs.Inc()
	if c.lobby.wrong++; c.lobby.wrong < maxWrong {
		c.say(promptWrong)
		return
	}
	c.part(promptGoodbye, ending{403, "the PIN was wrong too often", "server"})
}

// part says why, and then hangs up.
func (c *call) part(said prompt, why ending) {
	c.lobby.leaving, c.lobby.last = true, why
	delete(c.clock, alarmLobby)
	c.clock.in(alarmGoodbye, c.say(said)+300*time.Millisecond)
}

// say plays a prompt and returns how long it takes.
func (c *call) say(p prompt) time.Duration {
	pcm := c.e.prompts.pcm[p]
	if c.leg == nil || len(pcm) == 0 {
		return 0
	}
	c.leg.Play(pcm)
	return time.Duration(len(pcm)) * time.Second / promptRate
}

// digit takes a key, from wherever it came.
func (c *call) digit(key rune) {
	c.e.count.keys.Inc()
	switch {
	case c.lobby.open:
		c.pressed(key)
	case c.inRoom || c.browser != "":
		c.menuKey(key)
	}
}
