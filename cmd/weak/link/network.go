package link

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// prefix begins the names of all namespaces and devices; what follows is the
// process that owns them.
const prefix = "mdw"

var links atomic.Int32 // opened by this process

// network is the namespaces and addresses of one link. 198.18.0.0/15 is set
// aside for such measurements (RFC 2544), the rest is private.
//
//	client ─ TUN 198.18.n.10 (.11 after a move) ═ relay ═ TUN 198.18.n.1 ─ this machine
//
// With NAT before the client its namespace is a third one behind the TUN's;
// with NAT before the server the second TUN is in a namespace of its own, which
// hands some ports on to this machine.
type network struct {
	tag    string
	n      int
	spaces []string // all namespaces that were made
	client string   // where clients run
	outer  string   // where the client's TUN is
	router string   // where the server's TUN is; empty: in no namespace
}

// run executes a program and returns its complaint as an error.
func run(ctx context.Context, input string, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// ip runs the program of that name with the words of each line.
func ipLines(ctx context.Context, format string, args ...any) error {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		if words := strings.Fields(line); len(words) > 0 {
			if err := run(ctx, "", append([]string{"ip"}, words...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// newNetwork finds a name and addresses that nobody uses.
func newNetwork() (*network, error) {
	w := &network{tag: fmt.Sprintf("%s%dx%d", prefix, os.Getpid(), links.Add(1))}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	taken := map[int]bool{}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			if b := p.Addr().As4(); b[0] == 198 && b[1] == 18 || b[0] == 10 && b[1] == 78 {
				taken[int(b[2])] = true
			}
		}
	}
	for w.n = 1 + os.Getpid()%250; taken[w.n]; w.n = 1 + w.n%250 {
		if len(taken) >= 250 {
			return nil, fmt.Errorf("no network of 198.18.0.0/16 is free")
		}
	}
	return w, nil
}

// space makes a namespace.
func (w *network) space(ctx context.Context, kind string) (string, error) {
	name := w.tag + kind
	if err := ipLines(ctx, "netns add %s", name); err != nil {
		return "", err
	}
	w.spaces = append(w.spaces, name)
	return name, ipLines(ctx, "-n %s link set lo up", name)
}

// in returns the flags of ip that make it act in a namespace.
func in(space string) string {
	if space == "" {
		return ""
	}
	return "-n " + space
}

func (w *network) server4() string        { return fmt.Sprintf("198.18.%d.1", w.n) }
func (w *network) server6() string        { return fmt.Sprintf("fd6d:6978:%x::1", w.n) }
func (w *network) client4(i int) string   { return fmt.Sprintf("198.18.%d.%d", w.n, 10+i) }
func (w *network) client6(i int) string   { return fmt.Sprintf("fd6d:6978:%x::%x", w.n, 16+i) }
func (w *network) device(i int) string    { return fmt.Sprintf("%sc%d", w.tag, i) }
func (w *network) serverDevice() string   { return w.tag + "h" }
func (w *network) private(end int) string { return fmt.Sprintf("10.78.%d.%d", w.n, end) }
func (w *network) home(end int) string    { return fmt.Sprintf("10.79.%d.%d", w.n, end) }

// build makes the namespaces.
func (w *network) build(ctx context.Context, cfg Config) (err error) {
	if w.client, err = w.space(ctx, "c"); err != nil {
		return err
	}
	w.outer = w.client
	if cfg.NATClient {
		if w.outer, err = w.space(ctx, "r"); err != nil {
			return err
		}
		if err := w.masquerade(ctx, w.outer, "eth0", w.tag+"c*", ""); err != nil {
			return err
		}
		if err := ipLines(ctx, `link add eth0 netns %[1]s type veth peer name eth0 netns %[2]s
			-n %[1]s addr add %[3]s/24 dev eth0
			-n %[2]s addr add %[4]s/24 dev eth0
			-n %[1]s link set eth0 up
			-n %[2]s link set eth0 up
			-n %[1]s route add default via %[4]s`, w.client, w.outer, w.home(2), w.home(1)); err != nil {
			return err
		}
	}
	if len(cfg.NATServer) == 0 {
		return nil
	}
	if w.router, err = w.space(ctx, "s"); err != nil {
		return err
	}
	ports := make([]string, len(cfg.NATServer))
	for i, p := range cfg.NATServer {
		ports[i] = strconv.Itoa(p)
	}
	list := strings.Join(ports, ", ")
	dnat := fmt.Sprintf(`chain prerouting {
		type nat hook prerouting priority dstnat
		iifname "%[1]s" tcp dport { %[2]s } dnat to %[3]s
		iifname "%[1]s" udp dport { %[2]s } dnat to %[3]s
	}`, w.serverDevice(), list, w.private(2))
	if err := w.masquerade(ctx, w.router, "eth0", w.serverDevice(), dnat); err != nil {
		return err
	}
	return ipLines(ctx, `link add %[1]s type veth peer name eth0 netns %[2]s
		addr add %[3]s/24 dev %[1]s
		-n %[2]s addr add %[4]s/24 dev eth0
		link set %[1]s up
		-n %[2]s link set eth0 up
		route add 198.18.%[5]d.0/24 via %[4]s`, w.tag+"v", w.router, w.private(2), w.private(1), w.n)
}

// masquerade makes a namespace a router that translates addresses: what comes
// from inside leaves with its own, and only answers, and what dnat lets in, get back.
func (w *network) masquerade(ctx context.Context, space, inside, outside, dnat string) error {
	rules := fmt.Sprintf(`table ip mixdown {
	%s
	chain postrouting {
		type nat hook postrouting priority srcnat
		oifname "%s" masquerade
	}
	chain forward {
		type filter hook forward priority filter; policy drop
		ct state established,related accept
		iifname "%s" accept
		ct status dnat accept
	}
}`, dnat, outside, inside)
	if err := run(ctx, rules, "ip", "netns", "exec", space, "nft", "-f", "-"); err != nil {
		return fmt.Errorf("%w (nftables: scripts/setup.sh test installs it)", err)
	}
	return run(ctx, "", "ip", "netns", "exec", space, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
}

// attachServer puts the server's TUN in its place.
func (w *network) attachServer(ctx context.Context) error {
	if w.router != "" {
		if err := ipLines(ctx, "link set %s netns %s", w.serverDevice(), w.router); err != nil {
			return err
		}
	}
	return ipLines(ctx, `%[1]s link set %[2]s mtu %[5]d addrgenmode none up
		%[1]s addr add %[3]s/24 dev %[2]s
		%[1]s addr add %[4]s/64 dev %[2]s nodad`, in(w.router), w.serverDevice(), w.server4(), w.server6(), mtu)
}

// attachClient moves the client's i-th TUN into its namespace; it stays down.
func (w *network) attachClient(ctx context.Context, i int) error {
	return ipLines(ctx, `link set %[1]s netns %[2]s
		-n %[2]s link set %[1]s mtu %[3]d addrgenmode none`, w.device(i), w.outer, mtu)
}

// up brings the client's i-th TUN up, with its addresses and as the way to everywhere.
func (w *network) up(ctx context.Context, i int, cfg Config) error {
	d := w.device(i)
	if err := ipLines(ctx, "-n %s link set %s up", w.outer, d); err != nil {
		return err
	}
	if !cfg.IPv6Only {
		if err := ipLines(ctx, `-n %[1]s addr replace %[3]s/32 dev %[2]s
			-n %[1]s route replace default dev %[2]s src %[3]s`, w.outer, d, w.client4(i)); err != nil {
			return err
		}
	}
	if cfg.NATClient {
		return nil
	}
	return ipLines(ctx, `-n %[1]s addr replace %[3]s/128 dev %[2]s nodad
		-n %[1]s -6 route replace default dev %[2]s src %[3]s`, w.outer, d, w.client6(i))
}

// down takes the i-th TUN's addresses and routes away.
func (w *network) down(ctx context.Context, i int) error {
	return ipLines(ctx, `-n %[1]s addr flush dev %[2]s
		-n %[1]s link set %[2]s down`, w.outer, w.device(i))
}

// destroy ends what runs in the namespaces and removes them.
func (w *network) destroy() error {
	var first error
	for _, space := range w.spaces {
		if err := remove(space); err != nil && first == nil {
			first = err
		}
	}
	w.spaces = nil
	return first
}

// remove ends the processes of a namespace and deletes it.
func remove(space string) error {
	ctx := context.Background()
	out, err := exec.CommandContext(ctx, "ip", "netns", "pids", space).Output()
	if err == nil {
		for _, field := range strings.Fields(string(out)) {
			if pid, err := strconv.Atoi(field); err == nil {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended by itself
			}
		}
	}
	return ipLines(ctx, "netns del %s", space)
}

// sweep removes the namespaces of processes that were killed.
func sweep(ctx context.Context) error {
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return nil // there has never been one
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		owner, _, whole := strings.Cut(rest, "x")
		pid, err := strconv.Atoi(owner)
		if !ours || !whole || err != nil || syscall.Kill(pid, 0) != syscall.ESRCH {
			continue
		}
		if err := remove(e.Name()); err != nil {
			return fmt.Errorf("left by process %d: %w", pid, err)
		}
	}
	return ctx.Err()
}
