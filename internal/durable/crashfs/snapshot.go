package crashfs

import (
	"iter"
	"path"
	"strings"
)

// Clone gives a file system of its own with all that there is now, on disk for certain. It works after a crash as well.
func (f *FS) Clone() *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	choices := f.choices()
	kept := make([]int, len(choices))
	for i, c := range choices {
		kept[i] = c.n - 1
	}
	return f.state(choices, kept).FS
}

// Restart begins a new process after one that was killed, without a power cut: every file and name is as the processes
// before left it, what they had not synced is still not on disk, and their locks are gone. The plans of CrashBefore,
// CrashAfter and Fail are off. A test sees with it whether what a restart finds is made durable before it is told.
func (f *FS) Restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped, f.before, f.after, f.fail = false, 0, 0, nil
	clear(f.locks)
}

// Entry is a file or folder as Walk gives it.
type Entry struct {
	// Name is its whole name.
	Name string
	// ID is the same for all names of one file.
	ID int
	// Dir says that it is a folder.
	Dir bool
	// Data is what is in a file. It must not be changed.
	Data []byte
}

// Walk gives all files and folders as they are now, each folder before what is in it, in the order of their names. It is no
// call: nothing counts it and nothing makes it fail.
func (f *FS) Walk() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		f.mu.Lock()
		var all []Entry
		var walk func(name string, n *node)
		walk = func(name string, n *node) {
			all = append(all, Entry{Name: name, ID: n.id, Dir: n.dir, Data: n.data[:len(n.data):len(n.data)]})
			if n.dir {
				for _, base := range n.sortedNames() {
					walk(path.Join(name, base), n.names[base])
				}
			}
		}
		walk("/", f.root)
		f.mu.Unlock()
		for _, e := range all {
			if !yield(e) {
				return
			}
		}
	}
}

// Under says whether the entry is in a folder, at any depth.
func (e Entry) Under(dir string) bool { return strings.HasPrefix(e.Name, clean(dir)+"/") }
