package link

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mtu is that of an Ethernet, as on most ways through the net.
const mtu = 1500

// openTUN makes a TUN device in this network namespace: what the kernel sends
// into it is read from the file, and the other way round, one IP packet each.
// It goes away with its file, wherever it has been moved.
func openTUN(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w: needs root and the kernel's tun driver", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make TUN device %s: %w", name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}
