package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks"
)

// healthTimeout is how long a service may take to answer.
const healthTimeout = 10 * time.Second

// greetings are how a service that works begins to speak.
var greetings = map[string]string{
	"smtp": "220 ", "submission": "220 ", "submissions": "220 ", "imap": "* OK", "imaps": "* OK", "pop3": "+OK", "pop3s": "+OK", "lmtp": "220 ",
}

// proxyUnknown is what a balancer says of a connection of its own (PROXY protocol, version 1).
const proxyUnknown = "PROXY UNKNOWN\r\n"

type healthCommand struct {
	Strict bool `help:"Exit with 1 also when there is a warning."`
}

func (h *healthCommand) run(ctx context.Context, p *process, c *config) error {
	if err := c.checkServices(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, name := range services {
		for _, at := range c.listen[name] {
			wg.Go(func() {
				if err := checkService(ctx, name, at, c.hostname); err != nil {
					mu.Lock()
					defer mu.Unlock()
					errs = append(errs, fmt.Errorf("%s on %s: %w", name, at, err))
				}
			})
		}
	}
	wg.Wait()
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	fmt.Fprintln(p.stdout, "healthy")
	// What the administrator should see to is no reason to be restarted. Where it cannot be asked for, there is none.
	if response, err := askServer(c, controlRequest{Args: []string{"warnings"}}); err == nil {
		fmt.Fprint(p.stdout, response.Output)
		if h.Strict && response.Output != "" {
			return errors.New("there are warnings")
		}
	}
	return nil
}

// warningsCommand asks a server that runs what its administrator should see to; health shows it.
type warningsCommand struct{}

func (*warningsCommand) runOn(ctx context.Context, a *app, out io.Writer) error {
	a.checkRoom()
	a.checkFiles()
	a.checkKeys(ctx)
	all := a.watched.warnings()
	if text := a.unsignedReports(ctx); text != "" {
		all = append(all, text)
	}
	for _, text := range all {
		fmt.Fprintln(out, "warning:", strings.ReplaceAll(text, "\n", "; "))
	}
	return nil
}

// checkService connects to a service of this machine and waits for its greeting.
func checkService(ctx context.Context, name string, at endpoint, hostname string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, at.network, at.reachable())
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if len(at.proxyFrom) > 0 {
		from, _ := netip.ParseAddrPort(conn.LocalAddr().String()) // the zero address is in no network
		if !contains(at.proxyFrom, mailbricks.Peer{Addr: from}) {
			return nil // the service talks with balancers only; that it takes connections is all that can be seen from here
		}
		if _, err := io.WriteString(conn, proxyUnknown); err != nil {
			return err
		}
	}
	if implicitTLS[name] {
		// Whether the certificate is one that others trust is not what is asked here.
		conn = tls.Client(conn, &tls.Config{ServerName: hostname, InsecureSkipVerify: true})
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, greetings[name]) {
		return fmt.Errorf("greeted with %.100q", line)
	}
	return nil
}
