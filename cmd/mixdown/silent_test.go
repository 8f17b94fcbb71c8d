package main

import (
	"net"
	"net/http"
	"testing"
	"time"
)

// Connections that say nothing are closed when the server stops: those that there are, and one
// that was being taken just then.
func TestSilentConnectionsHoldUpNoStop(t *testing.T) {
	s := new(silent)
	var ends, peers [3]net.Conn
	for i := range ends {
		ends[i], peers[i] = net.Pipe()
		defer peers[i].Close()
	}
	s.follow(ends[0], http.StateNew)
	s.follow(ends[1], http.StateNew)
	s.follow(ends[1], http.StateActive)
	s.close()
	s.follow(ends[2], http.StateNew)
	for i, closed := range []bool{true, false, true} {
		if err := ends[i].SetDeadline(time.Time{}); (err != nil) != closed {
			t.Errorf("connection %d: %v, want closed %t", i, err, closed)
		}
	}
	_ = ends[1].Close()
}
