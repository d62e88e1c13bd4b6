package durable

import (
	"path/filepath"
	"sync"
)

// Group lets many callers that wait for the same kind of sync share one. A call
// of Do is answered only by a run that began after the call did, so that all
// the caller wrote before is covered.
type Group struct {
	run func() error

	mu      sync.Mutex
	current *groupRun // running now, or nil
	next    *groupRun // begins when current ends, or nil
}

type groupRun struct {
	done chan struct{}
	err  error
}

// NewGroup returns a Group whose runs call sync, one at a time.
func NewGroup(sync func() error) *Group { return &Group{run: sync} }

// Do returns the result of a run that began after Do was called.
func (g *Group) Do() error {
	g.mu.Lock()
	if r := g.next; r != nil { // not begun yet: it will cover us
		g.mu.Unlock()
		<-r.done
		return r.err
	}
	r := &groupRun{done: make(chan struct{})}
	if before := g.current; before != nil {
		g.next = r
		g.mu.Unlock()
		<-before.done
		g.mu.Lock()
		g.next = nil
	}
	g.current = r
	g.mu.Unlock()

	r.err = g.run()

	g.mu.Lock()
	g.current = nil
	g.mu.Unlock()
	close(r.done)
	return r.err
}

// DirSyncer syncs folders of one FS; goroutines that want the same folder
// synced at the same time share one call of FS.SyncDir. It remembers only
// folders that are being synced. The zero value is not usable.
type DirSyncer struct {
	fs FS

	mu   sync.Mutex
	dirs map[string]*dirGroup
}

type dirGroup struct {
	Group
	users int
}

// NewDirSyncer returns a DirSyncer for the folders of fsys.
func NewDirSyncer(fsys FS) *DirSyncer {
	return &DirSyncer{fs: fsys, dirs: make(map[string]*dirGroup)}
}

// Sync returns when every name that the folder dir had at the time of the call
// is on disk, with the error of the FS.SyncDir that was to do that.
func (s *DirSyncer) Sync(dir string) error {
	dir = filepath.Clean(dir)
	s.mu.Lock()
	g := s.dirs[dir]
	if g == nil {
		g = &dirGroup{Group: Group{run: func() error { return s.fs.SyncDir(dir) }}}
		s.dirs[dir] = g
	}
	g.users++
	s.mu.Unlock()

	err := g.Do()

	s.mu.Lock()
	if g.users--; g.users == 0 {
		delete(s.dirs, dir)
	}
	s.mu.Unlock()
	return err
}
