package crashfs

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"
)

// node is an inode: a file's contents or a folder's names, once as every reader
// sees them now and once as they are on disk, with what lies between.
type node struct {
	id    int
	dir   bool
	mode  fs.FileMode
	mtime time.Time

	// Of a file.
	data   []byte
	disk   []byte   // the contents that are on disk for certain
	writes []change // since then, in order

	// Of a folder.
	names     map[string]*node
	diskNames map[string]*node
	renames   []*renaming // since then, in order
}

// change is one Write or Truncate that is not on disk for certain.
type change struct {
	off     int64
	data    []byte
	resize  bool // Truncate to off
	suspect bool // a Sync that covered it failed: no later one makes it durable
}

// apply does the first n bytes of the change to contents.
func (c change) apply(data []byte, n int) []byte {
	if c.resize {
		return resize(data, c.off)
	}
	if n == 0 {
		return data
	}
	if end := c.off + int64(n); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[c.off:], c.data[:n])
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

// renaming is one change of the names in a folder: del goes if it still stands
// for delNode, then set comes. Either may be empty.
type renaming struct {
	del     string
	delNode *node
	set     string
	setNode *node

	// needs is the other half of a Rename between two folders: while the new
	// name is not there the old one has to be.
	needs  *renaming
	done   bool // is on disk for certain
	synced bool // its folder is synced, but needs is not done
}

func (r *renaming) apply(names map[string]*node) {
	if r.del != "" && names[r.del] == r.delNode {
		delete(names, r.del)
	}
	if r.set != "" {
		names[r.set] = r.setNode
	}
}

func newDir(id int, mode fs.FileMode, now time.Time) *node {
	return &node{
		id: id, dir: true, mode: mode | fs.ModeDir, mtime: now,
		names: map[string]*node{}, diskNames: map[string]*node{},
	}
}

// info describes a node under a name.
type info struct {
	name string
	size int64
	mode fs.FileMode
	time time.Time
	node *node
}

func (n *node) info(name string) info {
	return info{path.Base(name), int64(len(n.data)), n.mode, n.mtime, n}
}

func (i info) Name() string               { return i.name }
func (i info) Size() int64                { return i.size }
func (i info) Mode() fs.FileMode          { return i.mode }
func (i info) ModTime() time.Time         { return i.time }
func (i info) IsDir() bool                { return i.mode.IsDir() }
func (i info) Sys() any                   { return i.node } // for durable.SameFile
func (i info) Type() fs.FileMode          { return i.mode.Type() }
func (i info) Info() (fs.FileInfo, error) { return i, nil }

func (n *node) sortedNames() []string { return slices.Sorted(maps.Keys(n.names)) }
