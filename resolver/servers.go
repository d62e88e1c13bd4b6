package resolver

import (
	"errors"
	"net"
	"sync"
	"time"
)

// reloadAfter is the age at which the system's list of servers is read again: it changes when a host moves.
const reloadAfter = time.Minute

// pool knows the servers and which of them do not answer.
type pool struct {
	load func() ([]string, error) // nil: the list is fixed

	mu      sync.Mutex
	servers []string
	read    time.Time
	dead    map[string]time.Time // until when
}

func newPool(servers []string, load func() ([]string, error)) *pool {
	p := &pool{dead: map[string]time.Time{}}
	if len(servers) == 0 {
		p.load = load
	} else {
		p.servers = withPorts(servers)
	}
	return p
}

// order gives the servers as they should be asked: those that did not answer lately behind all others.
func (p *pool) order(now time.Time) ([]string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refresh(now); err != nil {
		return nil, err
	}
	alive, dead := make([]string, 0, len(p.servers)), []string(nil)
	for _, s := range p.servers {
		if now.Before(p.dead[s]) {
			dead = append(dead, s)
		} else {
			alive = append(alive, s)
		}
	}
	return append(alive, dead...), nil
}

// refresh reads the system's list when it is old. One that cannot be read leaves the last one in force.
func (p *pool) refresh(now time.Time) error {
	if p.load == nil || (len(p.servers) > 0 && now.Sub(p.read) < reloadAfter) {
		return nil
	}
	servers, err := p.load()
	if err == nil && len(servers) == 0 {
		err = errors.New("the system names no DNS servers")
	}
	p.read = now
	if err != nil {
		if len(p.servers) > 0 {
			return nil
		}
		return err
	}
	p.servers = withPorts(servers)
	for s := range p.dead { // of servers that are gone, nothing is kept
		if !now.Before(p.dead[s]) {
			delete(p.dead, s)
		}
	}
	return nil
}

// failed remembers that a server did not answer, and says whether that is news.
func (p *pool) failed(server string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	news := p.dead[server].IsZero()
	p.dead[server] = now.Add(DeadTime)
	return news
}

// worked forgets that a server did not answer before.
func (p *pool) worked(server string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.dead, server)
}

// withPorts puts port 53 behind addresses that have none.
func withPorts(servers []string) []string {
	out := make([]string, len(servers))
	for i, s := range servers {
		if out[i] = s; isIP(s) {
			out[i] = net.JoinHostPort(s, "53")
		} else if _, _, err := net.SplitHostPort(s); err != nil {
			out[i] = net.JoinHostPort(s, "53")
		}
	}
	return out
}
