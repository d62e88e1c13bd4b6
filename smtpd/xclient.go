package smtpd

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/ipaddr"
	"github.com/mailbricks/mailbricks/internal/serving"
)

// PeerIn gives a function that says of a peer whether its address is in one of the networks, for [Server].TrustXCLIENT.
func PeerIn(networks ...netip.Prefix) func(mailbricks.Peer) bool {
	networks = slices.Clone(networks)
	return func(peer mailbricks.Peer) bool {
		addr := ipaddr.Plain(peer.Addr.Addr())
		return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
	}
}

// clientAttributes are the attributes of XCLIENT, in an order in which each may change what those before it have set.
var clientAttributes = [...]string{"NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT"}

// trusted says whether XCLIENT is for this peer.
func (c *conn) trusted() bool {
	if c.proxy != nil {
		return true
	}
	return c.set.TrustXCLIENT != nil && c.set.TrustXCLIENT(c.session.Peer)
}

// xclient is XCLIENT, as Postfix's XCLIENT_README lays it down: the session of the client for which the peer speaks begins, with
// the greeting.
func (c *conn) xclient(arg string) *mailbricks.Reply {
	switch {
	case c.set.TrustXCLIENT == nil:
		return misuse(502, "5.5.1", "Command not implemented")
	case !c.trusted():
		return misuse(550, "5.7.0", "You are not trusted to speak for others")
	case c.tx != nil:
		return badSequence("Not within a mail transaction")
	}
	client := c.clientSoFar()
	if reply := client.parse(arg); reply != nil {
		return reply
	}
	if client.peer.Identity != nil {
		c.place.Leave()
	} else if refusal := c.place.Move(client.peer.Addr.Addr()); refusal != serving.Admitted {
		reply := crowded(refusal)
		if t := c.set.Trace.Refused; t != nil {
			t(client.peer.Addr, reply)
		}
		return reply
	}
	c.disconnected() // the client before
	if c.proxy == nil {
		peer := c.session.Peer
		c.proxy = &peer
	}
	c.newSession()
	c.session.Peer, c.session.ReverseName, c.session.Proxy = client.peer, client.name, c.proxy
	c.extended, c.anew = false, true
	c.logger.Debug("smtpd: connected", "peer", client.peer.Addr, "proxy", c.proxy.Addr)
	code := 0
	c.ahead(func() { code = c.greet() }) // XCLIENT may be pipelined
	if t := c.set.Trace.Command; t != nil {
		t(c.session, "XCLIENT", code)
	}
	return nil
}

// client is for whom a peer speaks.
type client struct {
	peer mailbricks.Peer
	name string // confirmed host name; empty: there is none
}

// clientSoFar is the client before an XCLIENT says more: one may follow another, as lines are short. What was said and done
// in a session since, a log-in above all, is not carried over to the next.
func (c *conn) clientSoFar() client {
	cl := client{c.session.Peer, c.session.ReverseName}
	if c.proxy == nil {
		cl.name = "" // which is the proxy's
	}
	if !c.anew {
		cl.peer.Hello, cl.peer.Protocol, cl.peer.Identity = "", "", nil
	}
	return cl
}

// parse takes the attributes of XCLIENT.
func (cl *client) parse(arg string) *mailbricks.Reply {
	given := make(map[string]string)
	for word := range strings.FieldsSeq(arg) {
		name, encoded, _ := strings.Cut(word, "=")
		name = strings.ToUpper(name)
		value, ok := decodeLooseXtext(encoded)
		_, twice := given[name]
		if !ok || twice || !slices.Contains(clientAttributes[:], name) || !utf8.ValidString(value) {
			return badArgument("Syntax: XCLIENT attribute=value ...")
		}
		if strings.EqualFold(value, "[UNAVAILABLE]") || strings.EqualFold(value, "[TEMPUNAVAIL]") {
			value = ""
		}
		given[name] = value
	}
	if len(given) == 0 {
		return badArgument("Syntax: XCLIENT attribute=value ...")
	}
	for _, name := range clientAttributes {
		if value, ok := given[name]; ok && !cl.set(name, value) {
			return badArgument("Malformed " + name)
		}
	}
	if _, named := given["NAME"]; !named && given["ADDR"] != "" {
		cl.name = "" // it was another client's
	}
	return nil
}

// set takes one attribute; an empty value is an unknown one.
func (cl *client) set(name, value string) (ok bool) {
	switch name {
	case "NAME":
		cl.name = value
		return value == "" || value[0] != '[' && validHello(value)
	case "HELO":
		if value == "" || validHello(value) {
			cl.peer.Hello = value
			return true
		}
		cl.peer.Hello, ok = anyHello(value) // which the proxy has taken
		return ok
	case "PROTO":
		cl.peer.Protocol = strings.ToUpper(value)
		return slices.Contains([]string{"", "SMTP", "ESMTP"}, cl.peer.Protocol)
	case "LOGIN":
		cl.peer.Identity = nil
		if value != "" {
			cl.peer.Identity = &mailbricks.Identity{Login: value, User: value}
		}
		return true
	case "ADDR":
		return setAddr(&cl.peer.Addr, value)
	case "DESTADDR":
		return setAddr(&cl.peer.Local, value)
	case "PORT":
		return setPort(&cl.peer.Addr, value)
	}
	return setPort(&cl.peer.Local, value)
}

// setAddr takes an address, of which the port is not known any more.
func setAddr(to *netip.AddrPort, value string) bool {
	*to = netip.AddrPort{}
	if value == "" {
		return true
	}
	tag := "IPV6:"
	tagged := len(value) > len(tag) && strings.EqualFold(value[:len(tag)], tag)
	if tagged {
		value = value[len(tag):]
	}
	addr, err := netip.ParseAddr(value)
	if err != nil || addr.Is6() != tagged || addr.Zone() != "" {
		return false
	}
	*to = netip.AddrPortFrom(addr.Unmap(), 0)
	return true
}

// setPort takes the port of an address, if that is known.
func setPort(to *netip.AddrPort, value string) bool {
	port, err := strconv.ParseUint(value, 10, 16)
	if value != "" && (err != nil || value[0] == '+') {
		return false
	}
	if to.Addr().IsValid() {
		*to = netip.AddrPortFrom(to.Addr(), uint16(port))
	}
	return true
}

// crowded is what a connection is told that gets no place.
func crowded(r serving.Refusal) *mailbricks.Reply {
	switch r {
	case serving.AddressFull:
		return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many connections from your address"}
	case serving.NetworkFull:
		return &mailbricks.Reply{Code: 421, Enhanced: "4.7.0", Text: "Too many connections from your network"}
	}
	return &mailbricks.Reply{Code: 421, Enhanced: "4.3.2", Text: "Too many connections, please try again later"}
}
