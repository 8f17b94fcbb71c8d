package sip

import "time"

// alarm names what a call does when time has passed.
type alarm int

const (
	alarmAnswer  alarm = iota // send the answer again
	alarmAck                  // no acknowledgement came
	alarmRefresh              // refresh the session
	alarmExpire               // the peer did not
	alarmRing                 // nobody takes the call
	alarmGiveUp               // nothing came of a CANCEL
	alarmLobby                // nobody presses keys
	alarmGoodbye              // the last prompt is over
	alarmMenu                 // keys that lead nowhere
	alarmWatch                // look after a browser's session
)

// clock is the alarms that are set.
type clock map[alarm]time.Time

func (k clock) in(a alarm, d time.Duration) { k[a] = time.Now().Add(d) }

func (k clock) next() time.Duration {
	next := time.Hour
	for _, at := range k {
		next = min(next, time.Until(at))
	}
	return max(next, 0)
}
