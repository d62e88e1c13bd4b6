//go:build !windows

package resolver

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/miekg/dns"
)

const resolvConf = "/etc/resolv.conf"

// systemServers reads the servers of resolv.conf(5).
func systemServers() ([]string, error) { return readServers(os.Open(resolvConf)) }

// maxResolvConf is how many octets of resolv.conf are read.
const maxResolvConf = 64 << 10

// readServers reads an opened resolv.conf. Without the file, or without a server in it, one on this host is meant.
func readServers(f io.ReadCloser, err error) ([]string, error) {
	local := []string{"127.0.0.1", "::1"}
	if errors.Is(err, fs.ErrNotExist) {
		return local, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conf, err := dns.ClientConfigFromReader(io.LimitReader(f, maxResolvConf))
	if err != nil {
		return nil, err
	}
	var servers []string
	for _, s := range conf.Servers {
		if isIP(s) {
			servers = append(servers, s)
		}
	}
	if len(servers) == 0 {
		return local, nil
	}
	return servers, nil
}
