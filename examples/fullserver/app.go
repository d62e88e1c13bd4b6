package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/auth"
	"github.com/mailbricks/mailbricks/auth/directory"
	"github.com/mailbricks/mailbricks/dmarc/reporting"
	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
	"github.com/mailbricks/mailbricks/relay"
	"github.com/mailbricks/mailbricks/resolver"
	"github.com/mailbricks/mailbricks/senderauth/sign"
)

// app is the data of a server with what works on it: the part of the wiring that does not depend on whether the server
// runs. One process at a time has it.
type app struct {
	lock    io.Closer
	conf    atomic.Pointer[config]
	log     *slog.Logger
	logging *logging // behind log

	dir     *directory.Directory
	login   *auth.Authenticator
	store   *maildir.Maildir
	keys    *sign.Dir
	queue   *relay.Queue
	dns     atomic.Pointer[resolver.Resolver] // of the configuration in force
	next    switchTransport                   // to the MX hosts or the smart host, as the configuration in force says
	deliver mailbricks.Handler                // every message goes this way, received or made here

	guards  atomic.Pointer[guards]
	watched watchedKeys
	reports reports

	background sync.WaitGroup
}

// queueMemory is how long the queue knows which reports it has sent: at least as long as they may be offered again.
const queueMemory = 2 * reporting.DefaultKeep

// becomeUser becomes run.user, if there is one.
func becomeUser(c *config) error {
	if c.run.user == "" {
		return nil
	}
	return switchUser(c.run.user, c.dataDir)
}

// openApp opens the data for the holder of its lock.
func openApp(c *config, lock io.Closer) (*app, error) {
	a := &app{lock: lock}
	a.conf.Store(c)
	a.logging = newLogging(c)
	a.log = slog.New(a.logging)
	if err := a.open(c); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// makeFolders makes those under data_dir, all for this user only.
func makeFolders(c *config) error {
	for _, dir := range []string{"", "mail", "queue", "dkim", "tls", "state", "state/spool"} {
		if err := os.MkdirAll(c.path(dir), 0o700); err != nil {
			return err
		}
	}
	return os.Chmod(c.path(), 0o700) // it may have been there before
}

// open is the heart of fullserver: what is delivered to whom.
func (a *app) open(c *config) (err error) {
	if err := makeFolders(c); err != nil {
		return err
	}
	if a.dir, err = directory.Open(c.dataDir, a.directoryOptions(c)); err != nil {
		return err
	}
	a.login = auth.Passwords(a.dir)
	a.login.Logger = a.log
	a.store = maildir.New(c.path("mail"), maildir.AccountsFunc(a.account))
	a.store.Logger = a.log
	if a.store.ServerKey, err = c.encryption.readServerKey(); err != nil {
		return err
	}
	a.login.Verified = a.openMail
	a.guards.Store(new(guards))
	if err := a.setGuards(c); err != nil {
		return err
	}
	a.keys = &sign.Dir{Root: c.path("dkim"), State: c.path("state", "dkim"), Logger: a.log}
	dns := a.resolver(c)
	a.dns.Store(dns)
	a.next.set(transport(c, dns))

	// Aliases first; then what a store or the queue could not take for now is filed in the queue, which tries again here.
	here := relay.ToHandler(a.store)
	a.queue, err = relay.Open(c.path("queue"), relay.Options{
		Hostname:  c.hostname,
		Transport: relay.Split(a.dir.Hosts, here, &a.next),
		Prepare:   a.prepare(c),
		Generated: mailbricks.HandlerFunc(func(ctx context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			return a.deliver.Handle(ctx, env, msg)
		}),
		Retry:    c.schedule(),
		Lifetime: c.outbound.lifetime,
		Remember: queueMemory,
		OnEvent:  a.onEvent,
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
	errs := []error{a.reports.close(), a.guards.Load().close()}
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
	return directory.Options{Domains: c.domains, Postmaster: c.policy.postmaster, Hostname: c.hostname, Logger: a.log}
}

// account tells the store which addresses have mail here, and how much each may have.
func (a *app) account(_ context.Context, address string) (maildir.Account, error) {
	if !a.dir.IsAccount(address) {
		return maildir.Account{}, maildir.ErrNoAccount
	}
	return maildir.Account{Limit: mailbox.Limit{Octets: a.dir.Quota(address)}}, nil
}
