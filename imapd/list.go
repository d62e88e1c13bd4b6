package imapd

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/mailbox"
)

// How many patterns one LIST may have (RFC 5258), and how many octets together: the time of a comparison grows with them.
const (
	maxListPatterns = 100
	maxPatternBytes = 2000
)

// listRequest is a parsed LIST (RFC 3501 §6.3.8, RFC 5258, RFC 5819, RFC 6154).
type listRequest struct {
	extended  bool
	reference string
	patterns  []string // with the reference in front, in modified UTF-7
	// patternBytes is the length of all of them.
	patternBytes int
	// selection options
	subscribed, recursive, specialUse bool
	// return options
	showSubscribed bool
	status         []string
	// lsub makes it LSUB.
	lsub bool
}

// list is LIST.
func (c *conn) list(ctx context.Context) error {
	var req listRequest
	if !c.dec.SP() || !c.listArguments(&req) || !c.dec.End() {
		return c.dec.Err()
	}
	if len(req.patterns) == 1 && req.patterns[0] == req.reference && !req.extended {
		c.enc.Raw(`* LIST (\Noselect) "/" ""` + "\r\n") // RFC 3501 §6.3.8: an empty name asks for the delimiter
		return nil
	}
	return c.listAll(ctx, &req)
}

// lsub is LSUB (RFC 3501 §6.3.9).
func (c *conn) lsub(ctx context.Context) error {
	req := listRequest{lsub: true, subscribed: true}
	var pattern string
	if !c.dec.SP() || !c.dec.AString(&req.reference) || !c.dec.SP() || !c.dec.ListMailbox(&pattern) ||
		!c.addPattern(&req, pattern) || !c.dec.End() {
		return c.dec.Err()
	}
	return c.listAll(ctx, &req)
}

// listArguments reads [list-select-opts SP] mailbox SP mbox-or-pat [SP list-return-opts] (RFC 5258 §6).
func (c *conn) listArguments(req *listRequest) bool {
	if c.dec.Has('(') {
		req.extended = true
		if !c.dec.List(func() bool { return c.listSelection(req) }) || !c.dec.SP() {
			return false
		}
		if req.recursive && !req.subscribed && !req.specialUse { // RFC 5258 §3.1
			return c.dec.Fail("RECURSIVEMATCH needs another selection option")
		}
	}
	if !c.dec.AString(&req.reference) || !c.dec.SP() || !c.listPatterns(req) {
		return false
	}
	if !c.dec.Accept(' ') {
		return true
	}
	req.extended = true
	var word string
	if !c.dec.Keyword(&word) {
		return false
	}
	if word != "RETURN" {
		return c.dec.Fail("expected RETURN")
	}
	return c.dec.SP() && c.dec.List(func() bool { return c.listReturn(req) })
}

// listPatterns reads one pattern or a list of them.
func (c *conn) listPatterns(req *listRequest) bool {
	read := func() bool {
		var pattern string
		if !c.dec.ListMailbox(&pattern) {
			return false
		}
		return c.addPattern(req, pattern)
	}
	if !c.dec.Has('(') {
		return read()
	}
	req.extended = true
	return c.dec.List(read)
}

func (c *conn) addPattern(req *listRequest, pattern string) bool {
	pattern = req.reference + pattern
	req.patternBytes += len(pattern)
	if len(req.patterns) >= maxListPatterns || req.patternBytes > maxPatternBytes {
		return c.dec.Fail("too many patterns")
	}
	req.patterns = append(req.patterns, pattern)
	return true
}

func (c *conn) listSelection(req *listRequest) bool {
	var option string
	if !c.dec.Keyword(&option) {
		return false
	}
	switch option {
	case "SUBSCRIBED": // RFC 5258 §3.1: implies the return option
		req.subscribed, req.showSubscribed = true, true
	case "REMOTE": // there are no remote mailboxes to add
	case "RECURSIVEMATCH":
		req.recursive = true
	case "SPECIAL-USE": // RFC 6154 §3
		req.specialUse = true
	default:
		return c.dec.Fail("unknown selection option")
	}
	return true
}

func (c *conn) listReturn(req *listRequest) bool {
	var option string
	if !c.dec.Keyword(&option) {
		return false
	}
	switch option {
	case "SUBSCRIBED":
		req.showSubscribed = true
	case "CHILDREN", "SPECIAL-USE": // shown always (RFC 3348 §3, RFC 6154 §2)
	case "STATUS": // RFC 5819
		return c.dec.SP() && c.statusItems(&req.status)
	default:
		return c.dec.Fail("unknown return option")
	}
	return true
}

// listed is a mailbox with what LIST says of it.
type listed struct {
	mailbox.Info
	children bool
	// matched says that the selection options select it.
	matched bool
	// fits says that a pattern matches its name.
	fits bool
	// childMatched says that the selection options select something below it whose name does not fit, so that it has no
	// line of its own (RFC 5258 §3.5).
	childMatched bool
}

// listAll answers LIST or LSUB.
func (c *conn) listAll(ctx context.Context, req *listRequest) error {
	infos, err := c.store.List(ctx)
	if err != nil {
		return err
	}
	all := arrange(infos, req)
	shown := make(map[string]bool) // parents shown for what is below them, by name
	for i := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := &all[i]
		if !l.fits {
			if l.matched {
				c.showParents(req, all, l.Name, shown)
			}
			continue
		}
		if err := c.listOne(ctx, req, l); err != nil {
			return err
		}
	}
	return nil
}

// arrange sorts the mailboxes, INBOX first, and finds out what has children, what is selected and what fits.
func arrange(infos []mailbox.Info, req *listRequest) []listed {
	all := make([]listed, 0, len(infos))
	for _, info := range infos {
		all = append(all, listed{Info: info, matched: req.selects(info), fits: matchAny(req.patterns, info.Name)})
	}
	slices.SortFunc(all, func(a, b listed) int {
		if (a.Name == mailbox.Inbox) != (b.Name == mailbox.Inbox) {
			if a.Name == mailbox.Inbox {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	at := make(map[string]int, len(all))
	for i := range all {
		at[all[i].Name] = i
	}
	for _, l := range all {
		for parent := parentOf(l.Name); parent != ""; parent = parentOf(parent) {
			if i, there := at[parent]; there {
				all[i].children = all[i].children || !l.NonExistent
				all[i].childMatched = all[i].childMatched || l.matched && !l.fits
			}
		}
	}
	return all
}

// parentOf is the level above a name, empty if there is none.
func parentOf(name string) string {
	i := strings.LastIndex(name, mailbox.Delimiter)
	if i < 0 {
		return ""
	}
	return name[:i]
}

// selects says whether the selection options pick a mailbox.
func (r *listRequest) selects(info mailbox.Info) bool {
	switch {
	case r.subscribed && !info.Subscribed:
		return false
	case r.specialUse && len(info.Uses) == 0:
		return false
	case info.NonExistent && !r.subscribed:
		return false
	}
	return true
}

// showParents is for LSUB with "%": a level that is not subscribed shows as \Noselect where something below it is
// (RFC 3501 §6.3.9). LIST RECURSIVEMATCH shows levels by listOne instead.
func (c *conn) showParents(req *listRequest, all []listed, name string, shown map[string]bool) {
	if !req.lsub {
		return
	}
	for parent := parentOf(name); parent != ""; parent = parentOf(parent) {
		i, there := slices.BinarySearchFunc(all[1:], parent, func(l listed, name string) int { return cmp.Compare(l.Name, name) })
		if there && all[i+1].matched || len(all) > 0 && all[0].Name == parent && all[0].matched {
			continue // it shows itself
		}
		if shown[parent] || !matchAny(req.patterns, parent) {
			continue
		}
		shown[parent] = true
		c.enc.Raw(`* LSUB (\Noselect) "/" `).Mailbox(parent).CRLF()
	}
}

// listOne writes the line of a mailbox whose name fits, if the selection options want it.
func (c *conn) listOne(ctx context.Context, req *listRequest, l *listed) error {
	recursive := req.recursive && l.childMatched
	if !l.matched && !recursive {
		return nil
	}
	if req.lsub {
		c.enc.Raw("* LSUB (")
	} else {
		c.enc.Raw("* LIST (")
	}
	for i, attribute := range l.attributes(req) {
		if i > 0 {
			c.enc.SP()
		}
		c.enc.Flag(attribute)
	}
	c.enc.Raw(`) "/" `).Mailbox(l.Name)
	if recursive {
		c.enc.Raw(` ("CHILDINFO" (`)
		c.enc.Raw(strings.Join(req.childInfo(), " "))
		c.enc.Raw("))")
	}
	c.enc.CRLF()
	if len(req.status) == 0 || l.NoSelect || l.NonExistent || !l.matched {
		return nil
	}
	status, err := c.statusOf(ctx, l.Name)
	if err != nil { // RFC 5819 §2: no STATUS response for what cannot be opened
		c.log.Debug("imapd: no status", "mailbox", l.Name, "err", err)
		return ctx.Err()
	}
	c.writeStatus(l.Name, req.status, status)
	return nil
}

// childInfo names the selection options that something below a mailbox meets (RFC 5258 §4).
func (r *listRequest) childInfo() []string {
	var names []string
	if r.subscribed {
		names = append(names, `"SUBSCRIBED"`)
	}
	if r.specialUse {
		names = append(names, `"SPECIAL-USE"`)
	}
	return names
}

// attributes of RFC 3501 §7.2.2, RFC 3348, RFC 5258 and RFC 6154.
func (l *listed) attributes(req *listRequest) []string {
	var out []string
	switch {
	case l.NonExistent && req.lsub, l.NoSelect:
		out = append(out, `\Noselect`)
	case l.NonExistent:
		out = append(out, `\NonExistent`)
	}
	if req.lsub {
		return out
	}
	if l.children {
		out = append(out, `\HasChildren`)
	} else {
		out = append(out, `\HasNoChildren`)
	}
	if req.showSubscribed && l.Subscribed {
		out = append(out, `\Subscribed`)
	}
	for _, use := range l.Uses {
		out = append(out, string(use))
	}
	return out
}
