package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/mailbricks/mailbricks/proxyproto"
	"github.com/mailbricks/mailbricks/smtpd/ban"
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

// smtpServices are those of package smtpd.
var smtpServices = map[string]bool{"smtp": true, "submission": true, "submissions": true, "lmtp": true}

func (*serveCommand) run(ctx context.Context, p *process, c *config) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := c.checkServices(); err != nil {
		return err
	}
	lock, err := lockData(ctx, c)
	if err != nil {
		return err
	}
	r := &running{certs: &certificates{}, environ: p.environ, file: c.file}
	err = r.prepare(ctx, c)
	defer r.stop()
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	if r.app, err = openApp(c, lock); err != nil {
		return err
	}
	if err := r.begin(p, c); err != nil {
		return errors.Join(err, r.app.close())
	}
	return r.serve(ctx, c)
}

// prepare does what may need root.
func (r *running) prepare(ctx context.Context, c *config) error {
	if err := r.listen(ctx, c); err != nil {
		return err
	}
	if c.tls.mode == "manual" { // its key may be for root's eyes only
		if err := r.certs.load(c); err != nil {
			return err
		}
	}
	return becomeUser(c)
}

// begin does the rest of what comes before the first connection.
func (r *running) begin(p *process, c *config) error {
	if err := r.certs.load(c); err != nil {
		return err
	}
	for _, file := range []string{c.file, c.tls.key} {
		if f, err := os.Open(file); err == nil {
			_ = f.Close() // nothing was written
		} else if file != "" {
			r.app.log.Warn("a change of this file will not be seen, as run.user may not read it", "file", file)
		}
	}
	if c.tryIt {
		return r.app.greetNewcomer(p.stdout)
	}
	return nil
}

// running is a server that runs.
type running struct {
	app     *app
	certs   *certificates
	environ []string
	file    string // of the configuration

	services []service
	now      atomic.Pointer[settings] // replaced by a reload
}

// service is an address on which a service is served.
type service struct {
	name string
	at   endpoint
	ln   net.Listener
}

// listen opens all addresses.
func (r *running) listen(ctx context.Context, c *config) error {
	for _, name := range services {
		for _, at := range c.listen[name] {
			ln, err := at.open(ctx, c.run.user)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			r.services = append(r.services, service{name: name, at: at, ln: ln})
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
	if err := a.setReports(c, true); err != nil {
		_ = control.Close()
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
	a.background.Go(func() { a.keepKeys(queueCtx) })
	a.background.Go(func() { a.keepMail(queueCtx) })
	a.background.Go(func() { a.resumeEncryption(queueCtx) })
	r.now.Store(a.settings(c, r.certs, a.dns.Load()))
	servers := r.start(ctx)
	r.watch(ctx)
	a.log.Info("stopping")
	shutdown(servers)
	_ = control.Close()
	err = a.reports.close()
	stopQueue()
	a.background.Wait()
	if err != nil {
		a.log.Error("some messages are missing in the DMARC reports", "error", err)
	}
	return a.close()
}

// start serves all services and gives their servers.
func (r *running) start(ctx context.Context) []server {
	a := r.app
	made := a.servers(r.certs, r.now.Load)
	var servers []server
	for _, s := range r.services {
		srv := made[s.name]
		servers = append(servers, srv)
		serve, ln := srv.Serve, r.guarded(s)
		if implicitTLS[s.name] {
			serve = srv.ServeTLS
		}
		a.background.Go(func() {
			if err := serve(ln); ctx.Err() == nil {
				a.log.Error("service ended", "service", s.name, "error", err)
			}
		})
		a.log.Info("listening", "service", s.name, "address", s.ln.Addr().String())
	}
	return servers
}

// guarded is the listener of a service with what stands in front of it.
func (r *running) guarded(s service) net.Listener {
	switch {
	case len(s.at.proxyFrom) > 0:
		return &proxyproto.Listener{Listener: s.ln, From: s.at.proxyFrom, Logger: r.app.log}
	case !smtpServices[s.name]: // those tell peers that they are banned
		return ban.KeepOut(s.ln, r.app.banned)
	}
	return s.ln
}

// shutdown lets transactions end, for a while.
func shutdown(servers []server) {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, srv := range servers {
		wg.Go(func() { _ = srv.Shutdown(ctx) }) // its error says that the time was over, and then all is closed
	}
	wg.Wait()
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

// take puts next in force, or nothing of it.
func (r *running) take(old, next *config) error {
	a := r.app
	if keys := old.needsRestart(next); len(keys) > 0 {
		a.log.Warn("changes that need a restart are left out", "keys", keys)
		next.keep(old)
	}
	pair, err := r.certs.read(next)
	if err != nil {
		return err
	}
	if err := a.dir.Configure(a.directoryOptions(next)); err != nil {
		return err
	}
	if err := a.setReports(next, true); err != nil {
		return errors.Join(err, a.setReports(old, true), a.dir.Configure(a.directoryOptions(old)))
	}
	before := a.guards.Load()
	if err := a.setGuards(next); err != nil {
		err = errors.Join(err, a.setGuards(old), a.setReports(old, true), a.dir.Configure(a.directoryOptions(old)))
		a.guards.Store(a.guards.Load().counting(before))
		r.now.Store(a.settings(old, r.certs, a.dns.Load())) // with the guards as they are now
		return err
	}
	r.certs.take(next, pair)
	dns := a.resolver(next)
	a.dns.Store(dns)
	a.next.set(transport(next, dns))
	a.queue.Reschedule(next.schedule(), next.outbound.lifetime)
	a.logging.set(next)
	a.conf.Store(next)
	r.now.Store(a.settings(next, r.certs, dns))
	return nil
}
