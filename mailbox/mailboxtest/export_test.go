package mailboxtest

import "testing"

// PartNames has the names of all tests, in the order in which Run begins them.
func PartNames() []string {
	var out []string
	for _, p := range parts() {
		out = append(out, p.name)
	}
	return out
}

// RunPart runs one of them, as Run does.
func RunPart(t testing.TB, name string, backend Backend) {
	for _, p := range parts() {
		if p.name == name {
			p.run(newWorld(t, backend))
			return
		}
	}
	t.Fatalf("there is no test %q", name)
}
