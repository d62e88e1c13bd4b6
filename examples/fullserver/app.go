package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/auth"
	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/maildir"
	"github.com/mailbricks/mailbricks/relay"
	"github.com/mailbricks/mailbricks/senderauth/sign"
)

// app is the data of a server with what works on it: the part of the wiring that does not depend on whether the server
// runs. One process at a time has it.
type app struct {
	lock  io.Closer
	conf  atomic.Pointer[config]
	log   *slog.Logger
	level *slog.LevelVar

	dir     *directory.Directory
	login   *auth.Authenticator
	store   *maildir.Maildir
	keys    *sign.Dir
	queue   *relay.Queue
	next    switchTransport    // to the MX hosts or the smart host, as the configuration in force says
	deliver mailbricks.Handler // every message goes this way, received or made here

	background sync.WaitGroup
}

// openApp becomes run.user, takes the lock and opens the data.
func openApp(ctx context.Context, c *config) (*app, error) {
	if c.run.user != "" {
		if err := switchUser(c.run.user, c.dataDir); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{"", "mail", "queue", "dkim", "tls", "state", "state/spool"} {
		if err := os.MkdirAll(c.path(dir), 0o700); err != nil {
			return nil, err
		}
	}
	lock, err := lockData(c)
	if err != nil {
		return nil, err
	}
	a := &app{lock: lock, level: &slog.LevelVar{}}
	a.log = newLogger(c, a.level)
	a.conf.Store(c)
	if err := a.open(ctx, c); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// open is the heart of fullserver: what is delivered to whom.
func (a *app) open(_ context.Context, c *config) (err error) {
	if a.dir, err = directory.Open(c.dataDir, a.directoryOptions(c)); err != nil {
		return err
	}
	a.login = auth.Passwords(a.dir)
	a.login.Logger = a.log
	a.store = maildir.New(c.path("mail"), maildir.AccountsFunc(a.account))
	a.store.Logger = a.log
	a.keys = &sign.Dir{Root: c.path("dkim"), State: c.path("state", "dkim"), Logger: a.log}
	a.next.set(transport(c, a.resolver(c)))

	// Aliases first; then what a store or the queue could not take for now is filed in the queue, which tries again here.
	here := relay.ToHandler(a.store)
	a.queue, err = relay.Open(c.path("queue"), relay.Options{
		Hostname:  c.hostname,
		Transport: relay.Split(a.dir.Hosts, here, &a.next),
		Prepare:   (&sign.Step{Keys: a.keys, Logger: a.log, Own: a.isOwn}).Sign,
		Generated: mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			return a.deliver.Handle(ctx, env, msg)
		}),
		Retry:    c.schedule(),
		Lifetime: c.outbound.lifetime,
		Logger:   a.log,
	})
	if err != nil {
		return err
	}
	a.deliver = a.dir.Expand(a.queue.Settle(mailbricks.Route(a.dir.Hosts, a.store, a.queue)))
	return nil
}

// close gives the data up.
func (a *app) close() error {
	var errs []error
	if a.queue != nil {
		errs = append(errs, a.queue.Close())
	}
	if a.store != nil {
		errs = append(errs, a.store.Close())
	}
	return errors.Join(append(errs, a.lock.Close())...)
}

// config is the configuration in force.
func (a *app) config() *config { return a.conf.Load() }

func (a *app) directoryOptions(c *config) directory.Options {
	return directory.Options{Domains: c.domains, Postmaster: c.policy.postmaster, Logger: a.log}
}

// account tells the store which addresses have mail here, and how much each may have.
func (a *app) account(_ context.Context, address string) (maildir.Account, error) {
	if !a.dir.IsAccount(address) {
		return maildir.Account{}, maildir.ErrNoAccount
	}
	return maildir.Account{Quota: a.dir.Quota(address)}, nil
}

// newLogger writes to standard error, as the configuration says; the level can change later.
func newLogger(c *config, level *slog.LevelVar) *slog.Logger {
	if err := level.UnmarshalText([]byte(c.log.level)); err != nil {
		panic(fmt.Sprintf("log level %q: %v", c.log.level, err)) // a bug: the configuration was checked
	}
	options := &slog.HandlerOptions{Level: level}
	if c.log.format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
