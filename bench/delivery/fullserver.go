package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// program is what is built where no file is named.
const program = "github.com/mailbricks/mailbricks/examples/fullserver"

// startOurs starts fullserver as it is by default, but for clients that it trusts as Postfix trusts its mynetworks: they are
// not authenticated and not limited. It logs each message, as Postfix does.
func startOurs(ctx context.Context, o *options, parent string) (*server, error) {
	dir := filepath.Join(parent, "fullserver")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	exe := o.fullserver
	if exe == "" {
		exe = filepath.Join(dir, "fullserver")
		if err := command(ctx, "go", "build", "-o", exe, program); err != nil {
			return nil, err
		}
	}
	addr, err := freeAddress("127.73.25.1")
	if err != nil {
		return nil, err
	}
	s := &server{name: ours, addr: addr, mail: filepath.Join(dir, "data", "mail", domain)}
	conf := filepath.Join(dir, "fullserver.toml")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `hostname = "mail.%s"
data_dir = %q
[listen]
smtp = [%q]
[limits]
connections_per_ip = 1000
[policy]
trusted_networks = ["127.0.0.0/8"]
`, domain, filepath.Join(dir, "data"), addr), 0o644); err != nil {
		return nil, err
	}
	for i := range users {
		if err := command(ctx, exe, "-config", conf, "email", "add", user(i)+"@"+domain, "secret"); err != nil {
			return nil, err
		}
	}
	if err := s.spawn(filepath.Join(dir, "log"), exe, "-config", conf, "serve"); err != nil {
		return nil, err
	}
	return s.started(ctx)
}

// started waits until the server answers, and ends it if it does not.
func (s *server) started(ctx context.Context) (*server, error) {
	if err := await(ctx, s.addr); err != nil {
		_ = s.stop() // it may have ended by itself
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	return s, nil
}
