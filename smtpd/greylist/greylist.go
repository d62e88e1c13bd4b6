package greylist

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/smtpd/internal/statelog"
)

// maxShards is into how many parts what is known is divided, each with a lock of its own; small limits make fewer.
const (
	maxShards     = 32
	minShardLimit = 256 // entries of a kind
)

// Greylist is what is known of clients and of who wrote to whom. [Open] makes one; its methods may be called by many
// goroutines at once. Several servers of a process can share it.
type Greylist struct {
	o       Options
	names   []string // Options.ClientNames in their form
	exempt  recipients
	shards  []*shard
	log     *statelog.Log[record] // nil: in memory only
	restart int64                 // while Open reads the file: now
}

// Open makes a greylist that is kept in the file with that name, in a folder that there is, or with an empty name in memory
// only. It fails when the file cannot be read, when it is not one of a greylist, when a newer version of this package has written it,
// when it is open already, and when there is no such folder or it may not be used. What is damaged in it is left out, with a line in the log. When the
// disk is full, or fails otherwise as it is written to, all is in memory until it works again, as it is later on.
func Open(file string, o Options) (*Greylist, error) {
	return open(durable.OS(), file, o)
}

func open(fsys durable.FS, file string, o Options) (*Greylist, error) {
	o.complete()
	o.Clients = networks(o.Clients)
	g := &Greylist{o: o, names: canonicals(o.ClientNames), exempt: newRecipients(o.Recipients), restart: time.Now().Unix()}
	n := max(1, min(maxShards, min(o.MaxWaiting, o.MaxKnown, o.MaxClients)/minShardLimit))
	for range n {
		g.shards = append(g.shards, newShard(&g.o, n, g.note))
	}
	if file == "" {
		return g, nil
	}
	log, err := statelog.Open(statelog.Config[record]{
		FS: fsys, Name: filepath.Clean(file), Format: format, Version: version, Logger: o.Logger,
		Restore: g.restore, Snapshot: g.snapshot,
	})
	if err != nil {
		return nil, fmt.Errorf("greylist: %w", err)
	}
	g.log = log
	return g, nil
}

// Close writes what was not yet written. Mail that comes later is greylisted from memory.
func (g *Greylist) Close() error {
	if g.log == nil {
		return nil
	}
	if err := g.log.Close(); err != nil {
		return fmt.Errorf("greylist: %w", err)
	}
	return nil
}

// Stats is how much a Greylist knows. What is out of date and not yet dropped counts.
type Stats struct {
	Waiting int // triplets that have not come back yet
	Known   int // triplets that have
	Coming  int // clients on their way to being known
	Clients int // clients that are known, whose mail is not greylisted
}

// Stats tells how much the Greylist knows.
func (g *Greylist) Stats() Stats {
	var all Stats
	for _, s := range g.shards {
		s.mu.Lock()
		all.Waiting += s.waiting.Len()
		all.Known += s.known.Len()
		all.Coming += s.coming.Len()
		all.Clients += s.good.Len()
		s.mu.Unlock()
	}
	return all
}

func (g *Greylist) shard(k key) *shard { return g.shards[k.shard(len(g.shards))] }

// note gives a change to the file. The shard's lock is held, so that changes come in their order.
func (g *Greylist) note(r record) {
	if g.log != nil {
		g.log.Add(r)
	}
}

func (g *Greylist) restore(r record) { g.shard(r.Key).restore(r, g.restart) }

func (g *Greylist) snapshot(yield func(record) bool) {
	for _, s := range g.shards {
		for _, r := range s.records() {
			if !yield(r) {
				return
			}
		}
	}
}
