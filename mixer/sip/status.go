package sip

import (
	"time"

	"mixdown/mixer"
)

// view is the call as others see it.
func (c *call) view() mixer.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown
}

// overAt is when the call ended; zero while it is.
func (c *call) overAt() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// show changes what others see, and tells the room.
func (c *call) show(change func(*mixer.Call)) {
	c.mu.Lock()
	before := c.shown
	change(&c.shown)
	after := c.shown
	c.mu.Unlock()
	if before != after {
		c.e.tell(after.Room)
	}
}

// reveal follows hold, which the media side knows.
func (c *call) reveal() {
	if !c.inRoom || c.done {
		return
	}
	state := mixer.CallConnected
	if c.away || c.leg != nil && c.leg.Held() {
		state = mixer.CallHeld
	}
	c.show(func(v *mixer.Call) { v.State = state })
}
