package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

// endpoint is where a service listens.
type endpoint struct {
	network, address string         // "tcp" and host:port, or "unix" and a path
	proxyFrom        []netip.Prefix // the load balancers, if all connections come through some
	mode             fs.FileMode    // of a Unix socket
	owner, group     string         // of a Unix socket, names or numbers; empty: those of run.user
}

const (
	// unixPrefix is in front of a path where an address is expected.
	unixPrefix = "unix:"
	// socketMode is that of a Unix socket: whoever may enter its folder may use it, as of Dovecot's LMTP.
	socketMode fs.FileMode = 0o666
)

// String is the address as the configuration has it.
func (e endpoint) String() string {
	if e.network == "unix" {
		return unixPrefix + e.address
	}
	return e.address
}

// port is the number of a TCP port, empty for a Unix socket.
func (e endpoint) port() string {
	if e.network == "unix" {
		return ""
	}
	_, port, _ := net.SplitHostPort(e.address) // it was checked
	return port
}

func (e endpoint) equal(other endpoint) bool {
	return e.network == other.network && e.address == other.address && e.mode == other.mode && e.owner == other.owner && e.group == other.group &&
		slices.Equal(e.proxyFrom, other.proxyFrom)
}

// endpoints takes where a service listens: a list of addresses, of tables with an address and what goes with it, or one table.
func endpoints(listen map[string][]endpoint, service string) setter {
	return func(value any) error {
		elements, err := listElements(value)
		if err != nil {
			return err
		}
		var list []endpoint
		for _, element := range elements {
			e, err := parseEndpoint(element)
			if err != nil {
				return err
			}
			switch {
			case e.network == "unix" && service != "lmtp":
				return fmt.Errorf("%q: only lmtp listens on Unix sockets", e)
			case strings.TrimLeft(e.port(), "0") == "25" && service == "lmtp": // RFC 2033 §5
				return fmt.Errorf("%q: LMTP must not be on port 25, where others expect SMTP; the port for it is 24", e)
			}
			list = append(list, e)
		}
		delete(listen, service)
		if len(list) > 0 {
			listen[service] = list
		}
		return nil
	}
}

// listElements gives the elements of a list that may have tables in it. A variable has commas between addresses, or is TOML.
func listElements(value any) ([]any, error) {
	switch v := value.(type) {
	case variable:
		if source := strings.TrimSpace(string(v)); isTOML(source) {
			var tree struct{ Value any }
			if err := toml.Unmarshal([]byte("value = "+source), &tree); err != nil {
				return nil, err
			}
			return listElements(tree.Value)
		}
		list, err := stringList(v)
		elements := make([]any, len(list))
		for i, s := range list {
			elements[i] = s
		}
		return elements, err
	case map[string]any:
		return []any{v}, nil
	case []map[string]any: // how TOML gives a list of nothing but tables
		elements := make([]any, len(v))
		for i, table := range v {
			elements[i] = table
		}
		return elements, nil
	case []any:
		return v, nil
	}
	return nil, errors.New(`must be a list of addresses, or { address = ":25", proxy_from = ["10.0.0.0/8"] }`)
}

// isTOML says whether the value of a variable is a table or a list as TOML has it, and not addresses, such as "[::1]:25".
func isTOML(source string) bool {
	list, isList := strings.CutPrefix(source, "[")
	list = strings.TrimSpace(list)
	return strings.HasPrefix(source, "{") || isList && list != "" && strings.ContainsRune("{\"']", rune(list[0]))
}

// checkListen fails when two services are to listen at one address.
func (c *config) checkListen() error {
	seen := map[string]bool{}
	for _, service := range services {
		for _, at := range c.listen[service] {
			if at.port() != "0" && seen[at.String()] {
				return &keyError{"listen." + service, fmt.Sprintf("%s is named twice", at)}
			}
			seen[at.String()] = true
		}
	}
	return nil
}

// parseEndpoint reads one element of the list.
func parseEndpoint(element any) (endpoint, error) {
	table, ok := element.(map[string]any)
	if !ok {
		table = map[string]any{"address": element}
	}
	e := endpoint{network: "tcp"}
	for key, value := range table {
		var err error
		switch key {
		case "address":
			err = text(&e.address, notEmpty)(value)
		case "proxy_from":
			err = parsed(&e.proxyFrom, parseNetwork)(value)
			if err == nil && len(e.proxyFrom) == 0 {
				err = errors.New("names no load balancer")
			}
		case "mode":
			err = fileMode(&e.mode)(value)
		case "owner":
			err = text(&e.owner, notEmpty)(value)
		case "group":
			err = text(&e.group, notEmpty)(value)
		default:
			err = errors.New("unknown key; there are address, proxy_from, mode, owner and group")
		}
		if err != nil {
			return e, fmt.Errorf("%s: %w", key, err)
		}
	}
	path, isPath := strings.CutPrefix(e.address, unixPrefix)
	if !isPath {
		if _, port, err := net.SplitHostPort(e.address); err != nil || !isPort(port) {
			return e, fmt.Errorf("%q is not an address such as \":25\" or \"192.0.2.1:25\"", e.address)
		}
		if e.mode != 0 || e.owner != "" || e.group != "" {
			return e, fmt.Errorf("mode, owner and group: %q is no Unix socket", e.address)
		}
		return e, nil
	}
	if len(e.proxyFrom) > 0 {
		return e, fmt.Errorf("proxy_from: %q is a Unix socket, which no load balancer connects to", e.address)
	}
	if !filepath.IsAbs(path) || len(path) > longestSocketPath {
		return e, fmt.Errorf("%q is not unix: and an absolute path of at most %d octets", e.address, longestSocketPath)
	}
	e.network, e.address = "unix", path
	if e.mode == 0 {
		e.mode = socketMode
	}
	return e, nil
}

// fileMode takes the permissions of a file in octal.
func fileMode(to *fs.FileMode) setter {
	var s string
	set := text(&s, notEmpty)
	return func(value any) error {
		if err := set(value); err != nil {
			return err
		}
		mode, err := strconv.ParseUint(s, 8, 32)
		if err != nil || mode == 0 || mode > 0o777 {
			return fmt.Errorf(`%q are no permissions such as "0660"`, s)
		}
		*to = fs.FileMode(mode)
		return nil
	}
}

// open listens there. Over PROXY protocol it does when the service is started. A Unix socket is for runUser, if there is one,
// where nothing else is said.
func (e endpoint) open(ctx context.Context, runUser string) (net.Listener, error) {
	if e.network != "unix" {
		return (&net.ListenConfig{}).Listen(ctx, e.network, e.address)
	}
	if err := removeStaleSocket(e.address); err != nil {
		return nil, err
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, e.network, e.address)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(giveSocket(e, runUser), os.Chmod(e.address, e.mode)); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// removeStaleSocket removes a socket that a killed server left. One that answers, or another kind of file, stays: then
// listening fails and says why.
func removeStaleSocket(path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("%s: another server listens there", path), conn.Close())
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return nil
}

// reachable is the address at which this machine reaches the service.
func (e endpoint) reachable() string {
	host, port, err := net.SplitHostPort(e.address)
	if ip := net.ParseIP(host); e.network == "unix" || err != nil || host != "" && (ip == nil || !ip.IsUnspecified()) {
		return e.address
	}
	return net.JoinHostPort("localhost", port)
}
