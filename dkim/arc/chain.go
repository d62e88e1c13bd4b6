package arc

import (
	"fmt"
	"strings"

	"github.com/mailbricks/mailbricks/dkim/internal/wire"
)

// The names of the fields of a set, in lower case, in the order in which a seal covers them (RFC 8617 §5.1.1).
const (
	resultsName = "arc-authentication-results"
	messageName = "arc-message-signature"
	sealName    = "arc-seal"
)

// parts are the fields of one set as they stand in the message; without Raw where one is missing.
type parts struct {
	results, message, seal wire.Field
	resultsField           resultsField
	messageTags, sealTags  tagField
}

// chain are the ARC fields of a message.
type chain struct {
	sets    []*parts // by instance from 1 to the highest; nil where there is nothing
	tooMany bool
	err     error // the first fault in the structure that was met
	at      int   // the instance that err is about; 0 for none
}

// readChain finds the chain in a header. It is empty for a message without ARC fields. Its work and memory are bounded
// by the length of the header, and DNS is not its business.
func readChain(h wire.Header) *chain {
	c := new(chain)
	names := []string{resultsName, messageName, sealName}
	counts := h.Counts(names)
	if counts[resultsName]+counts[messageName]+counts[sealName] == 0 {
		return c
	}
	for _, name := range names {
		if counts[name] > MaxSets {
			c.tooMany = true
			c.fault(0, fmt.Errorf("%w: %d %s fields", ErrTooManySets, counts[name], name))
			return c
		}
	}
	for _, f := range h.All(resultsName) {
		c.addResults(f)
	}
	for _, f := range h.All(messageName) {
		c.addTags(f, messageName)
	}
	for _, f := range h.All(sealName) {
		c.addTags(f, sealName)
	}
	c.check()
	return c
}

func (c *chain) addResults(f wire.Field) {
	r, err := parseResults(f)
	if err != nil {
		c.fault(0, fmt.Errorf("%w: %s: %w", ErrStructure, resultsName, err))
		return
	}
	s := c.set(r.instance)
	if s.results.Raw != nil {
		c.fault(r.instance, fmt.Errorf("%w: i=%d has two of %s", ErrStructure, r.instance, resultsName))
		return
	}
	s.results, s.resultsField = f, r
}

func (c *chain) addTags(f wire.Field, name string) {
	t, err := parseTagField(f)
	if err != nil {
		c.fault(0, fmt.Errorf("%w: %s: %w", ErrStructure, name, err))
		return
	}
	s := c.set(t.instance)
	field, tags := &s.message, &s.messageTags
	if name == sealName {
		field, tags = &s.seal, &s.sealTags
	}
	if field.Raw != nil {
		c.fault(t.instance, fmt.Errorf("%w: i=%d has two of %s", ErrStructure, t.instance, name))
		return
	}
	*field, *tags = f, t
}

// empty says that the message has no chain.
func (c *chain) empty() bool { return c.err == nil && len(c.sets) == 0 }

// set gives the set of an instance, making it where it is new.
func (c *chain) set(instance int) *parts {
	for len(c.sets) < instance {
		c.sets = append(c.sets, nil)
	}
	if c.sets[instance-1] == nil {
		c.sets[instance-1] = new(parts)
	}
	return c.sets[instance-1]
}

// fault notes what is wrong, unless something else was before.
func (c *chain) fault(instance int, err error) {
	if c.err == nil {
		c.err, c.at = err, instance
	}
}

// check does the steps 2 and 3 of RFC 8617 §5.2.
func (c *chain) check() {
	if c.markedFail() {
		n := len(c.sets)
		c.err, c.at = fmt.Errorf("%w: i=%d", ErrMarkedFail, n), n
	}
	for i, s := range c.sets {
		instance := i + 1
		if s == nil {
			c.fault(instance, fmt.Errorf("%w: i=%d is missing", ErrStructure, instance))
			continue
		}
		for _, part := range []struct {
			name string
			raw  []byte
		}{{resultsName, s.results.Raw}, {messageName, s.message.Raw}, {sealName, s.seal.Raw}} {
			if part.raw == nil {
				c.fault(instance, fmt.Errorf("%w: i=%d has no %s", ErrStructure, instance, part.name))
			}
		}
		want := Pass
		if instance == 1 {
			want = None
		}
		if cv := s.cv(); s.seal.Raw != nil && cv != want {
			c.fault(instance, fmt.Errorf("%w: i=%d has cv=%.20q, not %s", ErrStructure, instance, string(cv), want))
		}
	}
}

// markedFail says whether the newest seal has cv=fail, which ends a chain (RFC 8617 §5.1 step 2, §5.2 step 2).
func (c *chain) markedFail() bool {
	n := len(c.sets)
	return n > 0 && c.sets[n-1].cv() == Fail
}

// cv is the set's chain validation status; "" when it does not say.
func (s *parts) cv() Status {
	cv, _ := s.sealTags.tags.Get("cv")
	return Status(strings.ToLower(wire.Clean(cv)))
}
