package wire

import (
	"fmt"
	"slices"
	"strings"
)

// maxInstances is how many fields of one name are signed, so that a message cannot make h= long without end.
const maxInstances = 16

// maxName is the length of the longest field name that is signed.
const maxName = 64

// Choice is which header fields to sign: names in lower case, each once. Make it with Choose.
type Choice struct {
	names    []string
	oversign map[string]bool
}

// Choose takes the names of fields to sign where a message has them, and of those to list once more than it has them. The
// order is the one in which they come first. It says which is no field name.
func Choose(names, oversign []string) (Choice, error) {
	c := Choice{oversign: make(map[string]bool)}
	for i, list := range [][]string{names, oversign} {
		for _, name := range list {
			if !IsFieldName(name) || strings.Contains(name, ";") || len(name) > maxName {
				return Choice{}, fmt.Errorf("%.40q is no field name", name)
			}
			name = strings.ToLower(name)
			if !slices.Contains(c.names, name) {
				c.names = append(c.names, name)
			}
			if i == 1 {
				c.oversign[name] = true
			}
		}
	}
	return c, nil
}

// In makes h= for a message. Date and Message-ID are not oversigned where the message has none, as relays add them
// (RFC 5321 §6.4). From is listed also where it is missing, if it was chosen (RFC 6376 §5.4).
func (c Choice) In(h Header) []string {
	present := h.Counts(c.names)
	var list []string
	for _, name := range c.names {
		n := min(present[name], maxInstances)
		switch {
		case present[name] <= maxInstances && c.oversign[name] && (n > 0 || !addedByRelays(name)):
			n++
		case name == "from":
			n = max(n, 1)
		}
		for range n {
			list = append(list, name)
		}
	}
	return list
}

func addedByRelays(name string) bool { return name == "date" || name == "message-id" }
