package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"time"
)

// Times of serve.
const (
	// shutdownTime is how long running transactions may go on.
	shutdownTime = 30 * time.Second
	// watchInterval is how often the files' dates are looked at.
	watchInterval = time.Second
)

type serveCommand struct{}

// server is what all protocol servers have in common.
type server interface {
	Serve(net.Listener) error
	ServeTLS(net.Listener) error
	Shutdown(context.Context) error
	Close() error
}

// implicitTLS are the services that begin with TLS.
var implicitTLS = map[string]bool{"submissions": true, "imaps": true, "pop3s": true}

func (*serveCommand) run(ctx context.Context, p *process, c *config) error {
	if err := c.checkServices(); err != nil {
		return err
	}
	r := &running{certs: &certificates{}, environ: p.environ, file: c.file}
	defer r.stop()
	if err := r.listen(ctx, c); err != nil {
		return err
	}
	if c.tls.mode == "manual" { // its key may be for root's eyes only
		if err := r.certs.load(c); err != nil {
			return err
		}
	}
	a, err := openApp(ctx, c)
	if err != nil {
		return err
	}
	r.app = a
	if c.tls.mode != "manual" {
		if err := r.certs.load(c); err != nil {
			return errors.Join(err, a.close())
		}
	}
	if c.tryIt {
		if err := a.greetNewcomer(p.stdout); err != nil {
			return errors.Join(err, a.close())
		}
	}
	return r.serve(ctx, c)
}

// running is a server that runs: the listeners, which stay, and the servers behind them, which a reload replaces.
type running struct {
	app     *app
	certs   *certificates
	environ []string
	file    string // of the configuration

	services []*service
	mu       sync.Mutex
	servers  []server // all that may have sessions
}

// service is an address on which a service is served.
type service struct {
	name string
	ln   net.Listener
	now  *handover // to the server in force
	mu   sync.Mutex
}

// listen opens all addresses.
func (r *running) listen(ctx context.Context, c *config) error {
	for _, name := range services {
		for _, address := range c.listen[name] {
			ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			r.services = append(r.services, &service{name: name, ln: ln})
		}
	}
	return nil
}

// stop closes the listeners.
func (r *running) stop() {
	for _, s := range r.services {
		_ = s.ln.Close() // closed before, when all went well
	}
}

// serve runs until ctx ends, and then ends well.
func (r *running) serve(ctx context.Context, c *config) error {
	a := r.app
	control, err := listenControl(c.path("state"))
	if err != nil {
		return errors.Join(err, a.close())
	}
	queueCtx, stopQueue := context.WithCancel(context.Background())
	defer stopQueue()
	a.background.Go(func() {
		if err := a.queue.Run(queueCtx); err != nil && !errors.Is(err, context.Canceled) {
			a.log.Error("queue stopped", "error", err)
		}
	})
	a.background.Go(func() { a.serveControl(queueCtx, control) })
	r.start(c)
	for _, s := range r.services {
		a.background.Go(s.accept)
		a.log.Info("listening", "service", s.name, "address", s.ln.Addr().String())
	}
	r.watch(ctx)
	a.log.Info("stopping")
	r.stop()
	err = r.shutdown()
	_ = control.Close()
	stopQueue()
	a.background.Wait()
	return errors.Join(err, a.close())
}

// start puts the servers of a configuration behind the listeners. Sessions of the ones before go on.
func (r *running) start(c *config) {
	made := r.app.servers(c, r.certs)
	for _, s := range r.services {
		srv := made[s.name]
		next := newHandover(s.ln.Addr())
		r.app.background.Go(func() {
			serve := srv.Serve
			if implicitTLS[s.name] {
				serve = srv.ServeTLS
			}
			if err := serve(next); err != nil && !errors.Is(err, net.ErrClosed) {
				r.app.log.Debug("server stopped", "service", s.name, "error", err)
			}
		})
		s.replace(next)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, srv := range made {
		r.servers = append(r.servers, srv)
	}
}

// shutdown lets transactions end, for a while.
func (r *running) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	var wg sync.WaitGroup
	for _, srv := range r.servers {
		wg.Go(func() {
			if srv.Shutdown(ctx) != nil {
				_ = srv.Close() // their time is over
			}
		})
	}
	wg.Wait()
	for _, s := range r.services {
		s.replace(nil)
	}
	return nil
}

// watch reloads on a signal and when a file has changed, until ctx ends.
func (r *running) watch(ctx context.Context) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, hangup)
	defer signal.Stop(signals)
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	seen := r.dates()
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
		case <-ticker.C:
			if r.dates() == seen {
				continue
			}
		}
		seen = r.dates()
		r.reload()
	}
}

// dates are those of the files that a reload reads.
func (r *running) dates() string {
	c := r.app.config()
	return fileDates(r.file, c.tls.cert, c.tls.key)
}

// reload puts the configuration in force as it is now. When it is not good, the old one stays.
func (r *running) reload() {
	a := r.app
	old := a.config()
	if old.tryIt {
		return
	}
	next, err := loadConfig(r.file, r.environ, false)
	if err == nil {
		err = r.take(old, next)
	}
	if err != nil {
		a.log.Error("configuration not reloaded, the old one stays in force", "error", err)
		return
	}
	a.log.Info("configuration reloaded")
}

func (r *running) take(old, next *config) error {
	a := r.app
	if keys := old.needsRestart(next); len(keys) > 0 {
		a.log.Warn("changes that need a restart are left out", "keys", keys)
		next.hostname, next.dataDir, next.listen = old.hostname, old.dataDir, old.listen
	}
	if err := a.dir.Configure(a.directoryOptions(next)); err != nil {
		return err
	}
	if err := r.certs.load(next); err != nil {
		return err
	}
	a.next.set(transport(next, a.resolver(next)))
	a.queue.Reschedule(next.schedule(), next.outbound.lifetime)
	if err := a.level.UnmarshalText([]byte(next.log.level)); err != nil {
		return err
	}
	a.conf.Store(next)
	r.start(next)
	return nil
}

// replace puts another server behind the listener; nil: none any more.
func (s *service) replace(next *handover) {
	s.mu.Lock()
	old := s.now
	s.now = next
	s.mu.Unlock()
	if old != nil {
		_ = old.Close() // never fails
	}
}

func (s *service) current() *handover {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

// Waiting times after an accept that failed, as when the process has too many open files.
const (
	firstAcceptPause = 5 * time.Millisecond
	maxAcceptPause   = time.Second
)

// accept hands connections to the server in force until the listener is closed.
func (s *service) accept() {
	pause := firstAcceptPause
	for {
		conn, err := s.ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(pause)
			pause = min(2*pause, maxAcceptPause)
			continue
		}
		pause = firstAcceptPause
		s.hand(conn)
	}
}

// hand gives a connection to the server in force, which may change meanwhile.
func (s *service) hand(conn net.Conn) {
	for {
		now := s.current()
		if now != nil && now.give(conn) {
			return
		}
		if s.current() == now { // not replaced: this server is stopping
			_ = conn.Close()
			return
		}
	}
}
