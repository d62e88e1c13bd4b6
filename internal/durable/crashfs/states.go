package crashfs

import (
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// MaxStates is how many states States gives at most. If a crash allows more, it
// gives the extremes (nothing kept, all kept, each of the changes kept or lost
// alone, every order-keeping prefix) and fills up with a choice that is the same
// in every run.
const MaxStates = 256

// State is a file system after a power cut, ready for use.
type State struct {
	*FS
	// What says what was kept and lost, for the message of a failing test.
	What string
}

// sync puts contents on disk, except for what an earlier failed Sync covered:
// from there on nothing is certain.
func (n *node) sync() {
	for len(n.writes) > 0 && !n.writes[0].suspect {
		c := n.writes[0]
		n.disk = c.apply(n.disk, len(c.data))
		n.writes = n.writes[1:]
	}
}

// syncNames puts the names in a folder on disk. The old name of a Rename into
// another folder goes only when the new one is there.
func (n *node) syncNames() {
	var open []*renaming
	for _, r := range n.renames {
		if r.needs != nil && !r.needs.done {
			r.synced = true
			open = append(open, r)
			continue
		}
		r.apply(n.diskNames)
		r.done = true
	}
	n.renames = open
}

// choice is one thing that a power cut decides: options 0 (lost) to n-1 (kept),
// for the contents of a file or for a change of names.
type choice struct {
	file *node
	name *renaming
	n    int
	what string
}

// choices lists them for everything that can be reached: by the names that there
// are now, or were on disk.
func (f *FS) choices() []choice {
	var out []choice
	seen := map[*node]bool{}
	var walk func(name string, n *node)
	walk = func(name string, n *node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if !n.dir {
			if len(n.writes) > 0 {
				out = append(out, choice{file: n, n: len(n.prefixes()), what: name})
			}
			return
		}
		for _, r := range n.renames {
			if !r.synced {
				out = append(out, choice{name: r, n: 2, what: fmt.Sprintf("%s(-%s+%s)", name, r.del, r.set)})
			}
		}
		below := maps.Clone(n.names)
		for _, r := range n.renames { // lost names too, under names of their own
			if r.delNode != nil {
				below[r.del+"?"] = r.delNode
			}
			if r.setNode != nil {
				below[r.set+"!"] = r.setNode
			}
		}
		for k, v := range n.diskNames {
			if below[k] != v {
				below[k+"~"] = v
			}
		}
		for _, k := range slices.Sorted(maps.Keys(below)) {
			walk(strings.TrimSuffix(name, "/")+"/"+k, below[k])
		}
	}
	walk("/", f.root)
	return out
}

// prefixes lists the contents that a cut may leave, from lost to kept, as whole
// writes and bytes of the next one: for k writes the k+1 prefixes, and one more
// torn in the middle for each write of two bytes or more.
func (n *node) prefixes() [][2]int {
	out := [][2]int{{0, 0}}
	for i, c := range n.writes {
		if len(c.data) > 1 {
			out = append(out, [2]int{i, len(c.data) / 2})
		}
		out = append(out, [2]int{i + 1, 0})
	}
	return out
}

// States gives the file systems that a power cut now may leave; the FS itself
// stays as it is. Every state is on its own. The first is what the end of the
// process alone (kill -9) leaves: everything kept.
func (f *FS) States() iter.Seq[State] { return f.Some(MaxStates) }

// Some is States with another limit than MaxStates: a test that makes very many cuts looks at a few states of each. The first
// two are that all is kept and that all is lost.
func (f *FS) Some(limit int) iter.Seq[State] {
	return func(yield func(State) bool) {
		f.mu.Lock()
		choices := f.choices()
		f.mu.Unlock()
		for pick := range picks(choices, limit) {
			f.mu.Lock()
			s := f.state(choices, pick)
			f.mu.Unlock()
			if !yield(s) {
				return
			}
		}
	}
}

// picks gives the decisions: all if they are few, else the extremes and more.
func picks(choices []choice, limit int) iter.Seq[[]int] {
	total := 1
	for _, c := range choices {
		total = min(total*c.n, limit+1)
	}
	return func(yield func([]int) bool) {
		done := map[string]bool{}
		give := func(pick []int) bool {
			key := fmt.Sprint(pick)
			if done[key] {
				return true
			}
			if len(done) >= limit {
				return false
			}
			done[key] = true
			return yield(slices.Clone(pick))
		}
		fill := func(value func(i int) int) bool {
			pick := make([]int, len(choices))
			for i := range choices {
				pick[i] = value(i)
			}
			return give(pick)
		}
		kept := func(i int) int { return choices[i].n - 1 }
		lost := func(int) int { return 0 }
		if !fill(kept) || !fill(lost) {
			return
		}
		if total <= limit {
			pick := make([]int, len(choices))
			for {
				i := 0
				for ; i < len(pick); i++ { // count up
					if pick[i]++; pick[i] < choices[i].n {
						break
					}
					pick[i] = 0
				}
				if i == len(pick) || !give(pick) {
					return
				}
			}
		}
		for k := range choices {
			for v := range choices[k].n {
				alone := func(other func(int) int) func(int) int {
					return func(i int) int {
						if i == k {
							return v
						}
						return other(i)
					}
				}
				if !fill(alone(kept)) || !fill(alone(lost)) {
					return
				}
			}
			prefix := func(i int) int {
				if i <= k {
					return kept(i)
				}
				return 0
			}
			if !fill(prefix) {
				return
			}
		}
		random := rand.New(rand.NewPCG(1, 2))
		for range 4 * limit {
			if len(done) >= limit || !fill(func(i int) int { return random.IntN(choices[i].n) }) {
				return
			}
		}
	}
}

// state makes the file system in which pick[i] was decided for choices[i].
func (f *FS) state(choices []choice, pick []int) State {
	contents := map[*node]int{}
	keep := map[*renaming]bool{}
	var what []string
	for i, c := range choices {
		if c.file != nil {
			contents[c.file] = pick[i]
		} else {
			keep[c.name] = pick[i] > 0
		}
		what = append(what, fmt.Sprintf("%s:%d/%d", c.what, pick[i], c.n-1))
	}
	out := New()
	out.nextID, out.now = f.nextID, f.now
	copies := map[*node]*node{}
	var copyNode func(n *node) *node
	copyNode = func(n *node) *node {
		if c := copies[n]; c != nil {
			return c
		}
		c := &node{id: n.id, dir: n.dir, mode: n.mode, mtime: n.mtime}
		copies[n] = c
		if !n.dir {
			c.data = n.after(contents[n])
			c.disk = slices.Clone(c.data)
			return c
		}
		c.names = map[string]*node{}
		for name, below := range n.namesAfter(keep) {
			c.names[name] = copyNode(below)
		}
		c.diskNames = maps.Clone(c.names)
		return c
	}
	out.root = copyNode(f.root)
	return State{out, strings.Join(what, " ")}
}

// after gives the contents of the k-th of prefixes.
func (n *node) after(k int) []byte {
	data := slices.Clone(n.disk)
	p := n.prefixes()[k]
	for _, c := range n.writes[:p[0]] {
		data = c.apply(data, len(c.data))
	}
	if p[1] > 0 {
		data = n.writes[p[0]].apply(data, p[1])
	}
	return data
}

// namesAfter gives the names of a folder when keep was decided.
func (n *node) namesAfter(keep map[*renaming]bool) map[string]*node {
	names := maps.Clone(n.diskNames)
	for _, r := range n.renames {
		if (r.synced || keep[r]) && (r.needs == nil || r.needs.done || keep[r.needs]) {
			r.apply(names)
		}
	}
	return names
}
