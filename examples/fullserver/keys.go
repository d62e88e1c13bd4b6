package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/senderauth/sign"
)

// Times of what serve does about DKIM keys.
const (
	// keysInterval is how often it is looked whether something is due.
	keysInterval = 5 * time.Second
	// firstRecords is when the records of the keys that sign are looked for after the start, recordsInterval how often
	// from then on, and missingInterval how often while one is missing.
	firstRecords    = time.Minute
	recordsInterval = time.Hour
	missingInterval = 5 * time.Minute
)

// watchedKeys is what is known of the keys of the domains.
type watchedKeys struct {
	mu       sync.Mutex
	rotation map[string]sign.Status // by domain: rotations under way
	missing  map[string]string      // by record name: keys that sign and cannot be verified
	next     map[string]time.Time   // when a domain's records are looked for
	failed   map[string]string      // what has failed last, and why
}

// news says whether what failed is to be logged: not what has failed in the same way before. nil is that it went well.
func (w *watchedKeys) news(what string, err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		delete(w.failed, what)
		return false
	}
	if w.failed == nil {
		w.failed = make(map[string]string)
	}
	was := w.failed[what]
	w.failed[what] = err.Error()
	return was != err.Error()
}

// warnings are what the administrator should see to.
func (w *watchedKeys) warnings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, name := range slices.Sorted(maps.Keys(w.missing)) {
		all = append(all, "mail is signed with a key that others cannot see: "+w.missing[name])
	}
	for _, domain := range slices.Sorted(maps.Keys(w.rotation)) {
		if s := w.rotation[domain]; s.Until.IsZero() { // it waits for somebody
			all = append(all, "DKIM keys of "+domain+": "+s.Text)
		}
	}
	return all
}

// keepKeys goes on with rotations and looks after the keys' records, until ctx ends.
func (a *app) keepKeys(ctx context.Context) {
	ticker := time.NewTicker(keysInterval)
	defer ticker.Stop()
	begin := time.Now().Add(firstRecords)
	for {
		a.rotateKeys(ctx)
		if time.Now().After(begin) {
			a.findRecords(ctx)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// rotateKeys makes the steps of rotations that are due.
func (a *app) rotateKeys(ctx context.Context) {
	w := &a.watched
	domains, err := a.keys.Rotating()
	if w.news("rotation", err) {
		a.log.Error("DKIM keys are not rotated", "error", err)
	}
	if err != nil {
		return
	}
	w.mu.Lock()
	known := w.rotation
	w.rotation = make(map[string]sign.Status)
	w.mu.Unlock()
	for _, domain := range domains {
		status, ok := known[domain]
		if !ok { // it began just now, or this server did: nothing can have happened since
			status, err = a.rotation(domain).Status()
		} else if !time.Now().Before(status.Next) {
			status, err = a.rotation(domain).Step(ctx)
		}
		if ctx.Err() == nil && w.news("rotation of "+domain, err) {
			a.log.Error("DKIM keys are not rotated", "domain", domain, "error", err)
		}
		if err != nil {
			continue
		}
		if status.Text != known[domain].Text {
			a.log.Info("rotation of DKIM keys", "domain", domain, "phase", status.Phase, "status", status.Text)
		}
		w.noteRotation(status)
	}
}

func (w *watchedKeys) noteRotation(s sign.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rotation == nil {
		w.rotation = make(map[string]sign.Status)
	}
	w.rotation[s.Domain] = s
}

// findRecords looks for the records of keys that sign, where it is time.
func (a *app) findRecords(ctx context.Context) {
	w := &a.watched
	domains, err := a.keys.Domains()
	if w.news("records", err) {
		a.log.Error("DKIM records are not looked for", "error", err)
	}
	for _, domain := range domains {
		w.mu.Lock()
		due := !time.Now().Before(w.next[domain])
		w.mu.Unlock()
		if due && ctx.Err() == nil {
			a.findRecord(ctx, domain)
		}
	}
}

func (a *app) findRecord(ctx context.Context, domain string) {
	w := &a.watched
	keys, err := a.keys.List(domain)
	if w.news("records of "+domain, err) {
		a.log.Error("DKIM records are not looked for", "domain", domain, "error", err)
	}
	if err == nil {
		w.forgetOthers(domain, keys)
	}
	next := time.Now().Add(recordsInterval)
	dns := a.rotation(domain).Resolver
	for _, k := range keys {
		var err error
		if k.Use == sign.ForSigning {
			err = sign.Published(ctx, dns, k.Record)
		}
		missing := errors.Is(err, sign.ErrUnpublished)
		if missing {
			next = time.Now().Add(missingInterval)
		}
		if err == nil || missing { // or the DNS did not answer: nothing new is known
			a.noteRecord(k.Record.Name, err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.next == nil {
		w.next = make(map[string]time.Time)
	}
	w.next[domain] = next
}

// forgetOthers forgets records of a domain's keys that are no more.
func (w *watchedKeys) forgetOthers(domain string, keys []sign.Key) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.missing, func(name, _ string) bool {
		return strings.HasSuffix(name, "._domainkey."+domain) &&
			!slices.ContainsFunc(keys, func(k sign.Key) bool { return k.Record.Name == name })
	})
}

// noteRecord takes down whether a record is as it should be, and logs what is new.
func (a *app) noteRecord(name string, err error) {
	w := &a.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	_, was := w.missing[name]
	if err == nil {
		if was {
			a.log.Info("DKIM record is as it should be", "record", name)
		}
		delete(w.missing, name)
		return
	}
	if !was {
		a.log.Warn("mail is signed with a key that others cannot see; fullserver dns prints what to publish", "error", err)
	}
	if w.missing == nil {
		w.missing = make(map[string]string)
	}
	w.missing[name] = err.Error()
}
