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
	// rotating is held by whoever goes on with a rotation and notes how far it is. mu may be taken then.
	rotating sync.Mutex

	mu       sync.Mutex
	rotation map[string]sign.Status // by domain: rotations under way
	missing  map[string]string      // by record name: keys that sign and cannot be verified
	next     map[string]time.Time   // when a domain's records are looked for
	failed   map[string]string      // what has failed last, and why
	unsealed map[string]bool        // domains of aliases for which it was said that they have no key
}

// What can fail for a domain: failed has these words with its name behind them, and the last two contain " of ".
const (
	failedKeys     = "no mail leaves from "
	failedRotation = "DKIM rotation of "
	failedRecords  = "DKIM records of "
)

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

// fails says whether something failed when it was last looked at.
func (w *watchedKeys) fails(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed[what] != ""
}

// warnings are what the administrator should see to.
func (w *watchedKeys) warnings() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, what := range slices.Sorted(maps.Keys(w.failed)) {
		_, domain, _ := strings.Cut(what, " of ")
		if _, told := w.failed[failedKeys+domain]; !told { // or else it is for the same reason
			all = append(all, what+": "+w.failed[what])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.missing)) {
		all = append(all, "mail is signed with a key that others cannot see: "+w.missing[name])
	}
	for _, domain := range slices.Sorted(maps.Keys(w.rotation)) {
		if s := w.rotation[domain]; s.Until.IsZero() || len(s.Withdraw) > 0 { // it waits for somebody
			all = append(all, "DKIM keys of "+domain+": "+s.Text)
		}
	}
	return all
}

// checkKeys looks whether the keys of all domains can be used: mail of a domain with one that cannot does not leave.
func (a *app) checkKeys(ctx context.Context) {
	w := &a.watched
	domains, err := a.keys.Domains()
	if w.news(failedKeys+"this server", err) {
		a.log.Error("DKIM keys cannot be read, mail does not leave", "error", err)
	}
	if err != nil {
		return
	}
	for _, domain := range domains {
		_, err := a.keys.Signers(ctx, domain)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			err = a.wayOut(domain, err)
		}
		if w.news(failedKeys+domain, err) {
			a.log.Error("mail of a domain does not leave, as one of its DKIM keys cannot be used", "domain", domain, "error", err)
		}
	}
	w.forgetDomains(domains)
}

// forgetDomains forgets what has failed of domains that have no keys any more.
func (w *watchedKeys) forgetDomains(domains []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.failed, func(what, _ string) bool {
		for _, words := range []string{failedKeys, failedRecords} {
			if domain, ok := strings.CutPrefix(what, words); ok {
				return !slices.Contains(domains, domain)
			}
		}
		return false
	})
}

// noKey is told of mail that an alias sends on without an ARC set, as its domain has no key for one.
func (a *app) noKey(_ context.Context, domains []string) {
	w := &a.watched
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, domain := range domains {
		if w.unsealed[domain] || !a.dir.Hosts(domain) {
			continue
		}
		if w.unsealed == nil {
			w.unsealed = make(map[string]bool)
		}
		w.unsealed[domain] = true
		a.log.Warn("what aliases of this domain send on leaves without an ARC set, as it has no RSA key; fullserver dkim makes one",
			"domain", domain)
	}
}

// keepKeys goes on with rotations and looks after the keys' records, and after the room for mail, until ctx ends.
func (a *app) keepKeys(ctx context.Context) {
	ticker := time.NewTicker(keysInterval)
	defer ticker.Stop()
	begin := time.Now().Add(firstRecords)
	for {
		a.checkRoom()
		a.checkKeys(ctx)
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
	domains, err := a.keys.Rotating()
	if err != nil {
		return // checkKeys tells of it
	}
	for _, domain := range domains {
		a.rotateDomain(ctx, domain)
	}
	a.endRotations()
}

// rotateDomain makes the step of one rotation, if it is due.
func (a *app) rotateDomain(ctx context.Context, domain string) {
	w := &a.watched
	w.rotating.Lock()
	defer w.rotating.Unlock()
	w.mu.Lock()
	known, ok := w.rotation[domain]
	w.mu.Unlock()
	status, err := known, error(nil)
	if !ok { // it began just now, or this server did: nothing can have happened since
		status, err = a.rotation(domain).Status()
	} else if !time.Now().Before(status.Next) {
		status, err = a.rotation(domain).Step(ctx)
	}
	if ctx.Err() != nil {
		return
	}
	if w.news(failedRotation+domain, err) {
		a.log.Error("DKIM keys are not rotated", "domain", domain, "error", err)
	}
	if err != nil {
		return
	}
	if status.Text != known.Text {
		a.log.Info("rotation of DKIM keys", "domain", domain, "phase", status.Phase, "status", status.Text)
	}
	w.noteRotation(status)
}

// endRotations forgets the rotations that are not under way any more.
func (a *app) endRotations() {
	w := &a.watched
	w.rotating.Lock()
	defer w.rotating.Unlock()
	domains, err := a.keys.Rotating() // anew, as a command may have begun one
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.failed, func(what, _ string) bool {
		domain, ok := strings.CutPrefix(what, failedRotation)
		return ok && !slices.Contains(domains, domain)
	})
	maps.DeleteFunc(w.rotation, func(domain string, _ sign.Status) bool { return !slices.Contains(domains, domain) })
}

// noteRotation takes down how far a rotation is. w.rotating is held.
func (w *watchedKeys) noteRotation(s sign.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.Phase == sign.Idle {
		delete(w.rotation, s.Domain)
		delete(w.failed, failedRotation+s.Domain)
		return
	}
	if w.rotation == nil {
		w.rotation = make(map[string]sign.Status)
	}
	w.rotation[s.Domain] = s
}

// better is a status with what was found when the DNS was last asked.
func (w *watchedKeys) better(s sign.Status) sign.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.rotation[s.Domain]; ok && known.Phase == s.Phase {
		return known
	}
	return s
}

// findRecords looks for the records of keys that sign, where it is time.
func (a *app) findRecords(ctx context.Context) {
	w := &a.watched
	domains, err := a.keys.Domains()
	if err != nil {
		return // checkKeys tells of it
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
	if w.news(failedRecords+domain, err) {
		a.log.Error("DKIM records are not looked for", "domain", domain, "error", err)
	}
	if err == nil {
		w.forgetOthers(domain, keys)
	}
	next := time.Now().Add(recordsInterval)
	if err != nil {
		next = time.Now() // the next tick tells whether the keys are mended
	}
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
