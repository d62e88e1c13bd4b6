package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/mailbricks/mailbricks/bench/internal/child"
	"github.com/mailbricks/mailbricks/bench/internal/raw"
)

// measureMemory prints what an idle connection takes.
func measureMemory(p *plan, withTLS bool) (good bool, err error) {
	name, bound := "plain", uint64(maxPlainMemory)
	if withTLS {
		name, bound = "tls", maxTLSMemory
	}
	srv, err := child.Start("server", strconv.Itoa(2*p.many), name) // far from stress
	if err != nil {
		return false, err
	}
	defer srv.Close()
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	var at [2]child.Memory
	for i, count := range []int{p.few, p.many} {
		more, err := idlers(srv.Addr, len(conns), count, withTLS)
		conns = append(conns, more...)
		if err != nil {
			return false, err
		}
		if err := srv.Ask(askMemory, &at[i]); err != nil {
			return false, err
		}
	}
	n := uint64(p.many - p.few)
	each := (at[1].InUse() - at[0].InUse()) / n
	good = each <= bound
	fmt.Printf("memory of an idle connection (%s): %d octets (heap %d, stacks %d), at most %d: %s\n",
		name, each, (at[1].Heap-at[0].Heap)/n, (at[1].Stacks-at[0].Stacks)/n, bound, verdict(good))
	return good, nil
}

// dialers is how many connections are made at a time.
const dialers = 16

// idlers makes connections from the first to the last, each of which has said EHLO.
func idlers(addr string, first, last int, withTLS bool) ([]net.Conn, error) {
	conns, errs := make([]net.Conn, last-first), make([]error, dialers)
	var wg sync.WaitGroup
	for d := range dialers {
		wg.Go(func() {
			for i := first + d; i < last && errs[d] == nil; i += dialers {
				conns[i-first], errs[d] = idler(addr, i, withTLS)
			}
		})
	}
	wg.Wait()
	var made []net.Conn
	for _, c := range conns {
		if c != nil {
			made = append(made, c)
		}
	}
	for _, err := range errs {
		if err != nil {
			return made, err
		}
	}
	return made, nil
}

func idler(addr string, n int, withTLS bool) (net.Conn, error) {
	d := source(idleNet, n/perAddress)
	if !withTLS {
		return raw.Dial(d, addr, dialTime)
	}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // who it is does not matter here
	err = c.SetDeadline(time.Now().Add(dialTime))
	if err == nil {
		err = raw.New(c).Hello()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}
