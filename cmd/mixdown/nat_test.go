package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestBehindNAT puts the server behind an address translator and a Chromium
// before it; scripts/test-nat.sh says how. MIXDOWN_BIN names a binary that is
// built already.
func TestBehindNAT(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a browser")
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root for network namespaces")
	}
	for _, tool := range []string{"ip", "nft", "node", "curl", "chromium"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s: scripts/setup.sh test installs it", tool)
		}
	}
	root := filepath.Join("..", "..")
	if _, err := os.Stat(filepath.Join(root, "api/web/node_modules/playwright-core")); err != nil {
		t.Skip("needs api/web/node_modules: make build fetches them")
	}
	const probe = "mixdown-probe"
	if out, err := exec.Command("ip", "netns", "add", probe).CombinedOutput(); err != nil {
		t.Skipf("network namespaces are not to be had here: %s", out)
	}
	if out, err := exec.Command("ip", "netns", "del", probe).CombinedOutput(); err != nil {
		t.Fatalf("ip netns del: %v\n%s", err, out)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	binary := os.Getenv("MIXDOWN_BIN")
	if binary == "" {
		binary = filepath.Join(t.TempDir(), "mixdown")
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out)
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "test-nat.sh"), binary)
	// Asked to stop, the script takes its namespaces down.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}
