package link

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// open makes a link or skips the test where none can be.
func open(t *testing.T, cfg Config) *Link {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	for _, tool := range []string{"ip", "nft", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: scripts/setup.sh test installs it", tool)
		}
	}
	l, err := Open(t.Context(), cfg)
	if err != nil && (strings.Contains(err.Error(), "/dev/net/tun") || strings.Contains(err.Error(), "netns add")) {
		t.Skipf("namespaces and TUN devices are not to be had here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error("again:", err)
		}
		for _, space := range []string{"c", "r", "s"} {
			if _, err := os.Stat("/run/netns/" + l.network.tag + space); err == nil {
				t.Errorf("namespace %s is left", l.network.tag+space)
			}
		}
	})
	return l
}

// echo answers UDP datagrams with the sender's address, on all addresses.
func echo(t *testing.T) (port int) {
	t.Helper()
	s, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	go func() {
		buf := make([]byte, 2000)
		for {
			_, from, err := s.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = s.WriteToUDPAddrPort([]byte(from.Addr().Unmap().String()), from)
		}
	}()
	return s.LocalAddr().(*net.UDPAddr).Port
}

// asker sends n datagrams of so many bytes to a host and port, prints the
// answers, and ends when all are there or after the patience.
const asker = `const [host, port, n, size, patience] = process.argv.slice(1);
const s = require("dgram").createSocket(host.includes(":") ? "udp6" : "udp4");
let left = Number(n);
s.on("error", () => process.exit(1));
s.on("message", (m) => { console.log(String(m)); if (!--left) process.exit(0); });
for (let i = 0; i < n; i++) s.send(Buffer.alloc(Number(size)), Number(port), host, (err) => err && process.exit(1));
setTimeout(() => process.exit(0), Number(patience));`

// ask sends n datagrams from the namespace and returns the answers.
func ask(t *testing.T, l *Link, host string, port, n, size int, patience time.Duration) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", "netns", "exec", l.Namespace(), "node", "-e", asker,
		host, fmt.Sprint(port), fmt.Sprint(n), fmt.Sprint(size), fmt.Sprint(patience.Milliseconds())).Output()
	if err != nil {
		return nil
	}
	return strings.Fields(string(out))
}

const soon = 5 * time.Second // more than enough for what is to come

func TestLinkCarries(t *testing.T) {
	port := echo(t)
	l := open(t, Config{Paths: 2})
	for i, server := range l.Server() {
		got := ask(t, l, server.String(), port, 20, 1000, soon)
		if want := l.Client()[i].String(); len(got) != 20 || got[0] != want {
			t.Errorf("%v: %d of 20 answers, from %v; want %s", server, len(got), got, want)
		}
	}
	up, down := l.Counters(Up), l.Counters(Down)
	if up.OutPackets < 40 || up.OutBytes < 20*(1028+1048) || down.OutPackets < 40 || up.Dropped+down.Dropped != 0 {
		t.Errorf("up %d packets of %d bytes, down %d", up.OutPackets, up.OutBytes, down.OutPackets)
	}

	// UDP blocked one way.
	if err := l.Set(Down, Shape{Block: Block{UDP: true}}); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, l, l.Server()[0].String(), port, 5, 100, 200*time.Millisecond); len(got) != 0 || l.Counters(Down).Blocked < 5 {
		t.Errorf("%d answers through the block, %d blocked", len(got), l.Counters(Down).Blocked)
	}
	if err := l.Set(Down, Shape{}); err != nil {
		t.Fatal(err)
	}

	// Another address, and back.
	before := l.Client()[0]
	for range 2 {
		if err := l.Move(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := ask(t, l, l.Server()[0].String(), port, 3, 100, soon)
		if len(got) != 3 || got[0] != l.Client()[0].String() {
			t.Errorf("after the move: %v, want %v", got, l.Client()[0])
		}
	}
	if l.Client()[0] != before {
		t.Errorf("%v is not back", before)
	}

	// Cut off.
	l.Cut(true)
	if got := ask(t, l, l.Server()[0].String(), port, 3, 100, 200*time.Millisecond); len(got) != 0 {
		t.Errorf("%v while cut", got)
	}
	l.Cut(false)
	if got := ask(t, l, l.Server()[0].String(), port, 3, 100, soon); len(got) != 3 {
		t.Errorf("%d of 3 answers after the cut", len(got))
	}
}

func TestLinkIPv6Only(t *testing.T) {
	port := echo(t)
	l := open(t, Config{IPv6Only: true})
	if got := ask(t, l, l.Server()[0].String(), port, 3, 100, soon); len(got) != 3 || !l.Server()[0].Is6() {
		t.Errorf("%v: %v", l.Server(), got)
	}
	if got := ask(t, l, l.network.server4(), port, 3, 100, 200*time.Millisecond); len(got) != 0 {
		t.Errorf("IPv4 passes: %v", got)
	}
}

func TestLinkWithNAT(t *testing.T) {
	port, other := echo(t), echo(t)
	l := open(t, Config{NATClient: true, NATServer: []int{port}, Paths: 2})
	server := l.Server()[0].String()
	got := ask(t, l, server, port, 3, 100, soon)
	if len(got) != 3 || got[0] != l.Client()[0].String() {
		t.Errorf("%v, want the translator's %v", got, l.Client())
	}
	if got := ask(t, l, server, other, 3, 100, 200*time.Millisecond); len(got) != 0 {
		t.Errorf("a port that is not handed on answers: %v", got)
	}
	if err := l.Move(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, l, server, port, 3, 100, soon); len(got) != 3 || got[0] != l.Client()[0].String() {
		t.Errorf("after the move: %v, want %v", got, l.Client())
	}
	if err := l.Move(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	if os.Geteuid() != 0 {
		if _, err := Open(t.Context(), Config{}); err == nil || !strings.Contains(err.Error(), "root") {
			t.Errorf("without root: %v", err)
		}
		return
	}
	for _, cfg := range []Config{{IPv6Only: true, NATClient: true}, {Up: Shape{Loss: 2}}, {Down: Shape{Rate: -1}}} {
		if l, err := Open(t.Context(), cfg); err == nil {
			t.Errorf("%+v is accepted", cfg)
			l.Close()
		}
	}
}
