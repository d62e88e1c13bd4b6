package dnsbl_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/smtpd"
	"github.com/mailbricks/mailbricks/smtpd/dnsbl"
)

func TestSelfTestAsksForTheEntriesOfTheStandard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // RFC 5782 §5
		dns := newDNS("a.example", "d.example")
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example sender:d.example")
		for _, s := range c.Status() {
			require.Equal(t, dnsbl.Untested, s.State, s)
			require.Zero(t, s.Tested)
		}
		all := c.Test(t.Context())
		require.Len(t, all, 3)
		for i, want := range []dnsbl.Class{dnsbl.IPv4, dnsbl.IPv6, dnsbl.Domain} {
			require.Equal(t, want, all[i].Class)
			require.Equal(t, dnsbl.Up, all[i].State, all[i])
			require.Equal(t, time.Now(), all[i].Tested)
			require.Equal(t, time.Now(), all[i].Since)
		}
		for _, name := range []string{test4 + "a.example", never4 + "a.example", test6 + "a.example", never6 + "a.example",
			"test.d.example", "invalid.d.example"} {
			require.Equal(t, 1, dns.count(name), name)
		}
		require.Equal(t, 6, dns.total())
	})
}

// faults are ways in which lists are none.
var faults = []struct {
	name   string
	breaks func(*fakeDNS)
	reason string // empty: nothing is known, and the list stays as it is for now
}{
	{"lists everybody", func(f *fakeDNS) {
		f.set("*.a.example", entry{codes: []string{"127.0.0.2"}})
	}, "lists what no list may list"},
	{"is empty", func(f *fakeDNS) { f.remove(test4 + "a.example"); f.remove(test6 + "a.example") }, "lacks the test entry"},
	{"refuses", func(f *fakeDNS) {
		f.set("*.a.example", entry{codes: []string{"127.255.255.254"}})
		f.set(test4+"a.example", entry{codes: []string{"127.255.255.254"}})
		f.set(test6+"a.example", entry{codes: []string{"127.255.255.254"}})
	}, "refuses our queries (127.255.255.254)"},
	{"refuses beside an entry", func(f *fakeDNS) {
		f.set(test4+"a.example", entry{codes: []string{"127.0.0.2", "127.255.255.255"}})
		f.set(test6+"a.example", entry{codes: []string{"127.0.0.2", "127.255.255.255"}})
	}, "refuses our queries (127.255.255.255)"},
	{"refuses by another code", func(f *fakeDNS) {
		f.set("*.a.example", entry{codes: []string{"127.0.0.1"}})
		f.set(test4+"a.example", entry{codes: []string{"127.0.0.1"}})
		f.set(test6+"a.example", entry{codes: []string{"127.0.0.1"}})
	}, "gives the code 127.0.0.1, which is that of no entry"},
	{"is parked", func(f *fakeDNS) {
		f.set("*.a.example", entry{codes: []string{"198.51.100.80"}})
		f.set(test4+"a.example", entry{codes: []string{"198.51.100.80"}})
		f.set(test6+"a.example", entry{codes: []string{"198.51.100.80"}})
	}, "gives the code 198.51.100.80, which is that of no entry"},
	{"has addresses of the wrong family", func(f *fakeDNS) {
		f.set(never4+"a.example", entry{codes: []string{"2001:db8::1"}})
		f.set(never6+"a.example", entry{codes: []string{"2001:db8::1"}})
	}, "gives the code 2001:db8::1, which is that of no entry"},
	{"fails", func(f *fakeDNS) {
		f.set(never4+"a.example", entry{fails: true})
		f.set(never6+"a.example", entry{fails: true})
	}, ""},
	{"is silent", func(f *fakeDNS) {
		f.set(test4+"a.example", entry{hangs: true})
		f.set(test6+"a.example", entry{hangs: true})
	}, ""},
	{"makes the resolver panic", func(f *fakeDNS) {
		f.set(test4+"a.example", entry{panic: true})
		f.set(test6+"a.example", entry{panic: true})
	}, ""},
}

func TestListThatFailsItsFirstTestNeverCounts(t *testing.T) {
	t.Parallel()
	for _, fault := range faults {
		for _, client := range []string{"203.0.113.9", "2001:db8:1:2:3:4:567:89ab"} {
			synctest.Test(t, func(t *testing.T) {
				dns := newDNS("a.example", "b.example").list("a.example", "b.example")
				const entry6 = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2."
				dns.set(entry6+"a.example", entry{codes: []string{someCode}})
				dns.set(entry6+"b.example", entry{codes: []string{someCode}})
				fault.breaks(dns)
				c := newChecker(t, dnsbl.Options{Resolver: dns, RefuseAt: 2, QuarantineAt: 1}, "a.example b.example")
				for range 3 {
					r, err := visit(t, c, client)
					require.Equal(t, dnsbl.Quarantine, r.Decision, "%s: %+v", fault.name, r)
					require.Equal(t, 1, r.Score, fault.name)
					require.Equal(t, []string{"a.example"}, r.Unknown, fault.name)
					require.EqualError(t, err, "smtpd: quarantine: client ["+client+"] listed by b.example")
				}
				class := dnsbl.IPv4
				if netip.MustParseAddr(client).Is6() {
					class = dnsbl.IPv6
				}
				s := status(t, c, class)
				require.Equal(t, fault.reason, s.Reason, fault.name)
				require.Equal(t, fault.reason != "", s.State == dnsbl.Down, fault.name)
			})
		}
	}
}

func TestListThatGoesBadAndComesBack(t *testing.T) {
	t.Parallel()
	for _, fault := range faults {
		synctest.Test(t, func(t *testing.T) {
			dns, log := newDNS("a.example").list("a.example"), new(logs)
			c := newChecker(t, dnsbl.Options{Resolver: dns, Logger: log.logger(), MaxUnanswered: 2}, "a.example")
			r, _ := visit(t, c, client)
			require.Equal(t, dnsbl.Refuse, r.Decision)
			began := time.Now()

			fault.breaks(dns)
			time.Sleep(dnsbl.DefaultTestInterval)
			r, err := visit(t, c, client)
			require.NoError(t, err, fault.name)
			require.Equal(t, 0, r.Score, "%s: an old test is no reason to believe a list", fault.name)
			time.Sleep(dnsbl.RetryTime)
			_, err = visit(t, c, client)
			require.NoError(t, err)
			s := status(t, c, dnsbl.IPv4)
			require.Equal(t, dnsbl.Down, s.State, fault.name)
			require.GreaterOrEqual(t, s.Since.Sub(began), dnsbl.DefaultTestInterval)

			asked := dns.count(entry4 + "a.example")
			for range 20 {
				_, err = visit(t, c, client)
				require.NoError(t, err)
			}
			require.Equal(t, asked, dns.count(entry4+"a.example"), "a list that is off is not asked")
			reason := fault.reason
			if reason == "" {
				reason = "does not answer"
			}
			lines := log.lines()
			if fault.name == "makes the resolver panic" {
				lines = lines[len(lines)-1:] // the others tell of that
			}
			require.Equal(t, []string{
				`level=WARN msg="dnsbl: the list is switched off" list=a.example class=IPv4 reason="` + reason + `"`,
			}, lines, fault.name)

			*dns = *newDNS("a.example").list("a.example") //nolint:govet // nobody uses it now
			dns.set(test4+"a.example", entry{codes: []string{someCode}, after: time.Millisecond})
			time.Sleep(10 * dnsbl.RetryTime)
			v := arrive(t, c.Check(), client)
			_, err = v.mail("ann@example.net", "bob@example.com")
			require.NoError(t, err, "nobody waits for the test of a list that is off")
			time.Sleep(time.Millisecond)
			synctest.Wait()
			v.leave()
			r, _ = visit(t, c, client)
			require.Equal(t, dnsbl.Refuse, r.Decision, fault.name)
			require.Equal(t, []string{`level=INFO msg="dnsbl: the list is back" list=a.example class=IPv4`}, log.lines(), fault.name)
		})
	}
}

func TestPatienceBeginsAnewOnceAListIsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS()
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example")
		tests := func() int { return dns.count(test4 + "a.example") }
		stay := func(d time.Duration) {
			v := arrive(t, c.Check(), client)
			time.Sleep(d)
			v.leave()
		}
		for range 6 {
			c.Test(t.Context())
		}
		before := tests()
		stay(16 * dnsbl.RetryTime)
		stay(0)
		require.Equal(t, before, tests(), "it is not tested so soon after many failures")
		dns.set(test4+"a.example", entry{codes: []string{someCode}})
		c.Test(t.Context())
		dns.remove(test4 + "a.example")
		c.Test(t.Context())
		before = tests()
		stay(dnsbl.RetryTime)
		require.Equal(t, before, tests())
		stay(1)
		require.Equal(t, before+1, tests(), "as after the first failure")
	})
}

func TestTestsAreMadeBeforeTheyAreMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example").list("a.example")
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example")
		for range 50 { // 100 minutes
			for _, addr := range []string{client, "203.0.113.10"} {
				v := arrive(t, c.Check(), addr)
				r, _ := v.mail("ann@example.net", "bob@example.com")
				require.Equal(t, addr == client, r.Decision == dnsbl.Refuse)
				time.Sleep(time.Minute)
				v.leave()
			}
		}
		require.Equal(t, 3, dns.count(test4+"a.example"), "at the start and each three quarters of an hour")
	})
}

func TestListThatCallsEverybodyListedMustShowThatItDoesNot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example")
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example")
		c.Test(t.Context())
		time.Sleep(dnsbl.RetryTime)
		dns.set("*.a.example", entry{codes: []string{"127.0.0.2"}}) // it was given up
		refused := 0
		for range 100 {
			if _, err := visit(t, c, client); err != nil {
				refused++
			}
		}
		require.Equal(t, dnsbl.MaxInRow-1, refused)
		require.Equal(t, "lists what no list may list", status(t, c, dnsbl.IPv4).Reason)
	})
}

func TestGoodListPassesHoweverManyAreListed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example").list("a.example")
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example")
		for range 20 * dnsbl.MaxInRow {
			r, _ := visit(t, c, client)
			require.Equal(t, dnsbl.Refuse, r.Decision)
			time.Sleep(time.Second)
		}
		require.Less(t, dns.count(test4+"a.example"), 20*dnsbl.MaxInRow/int(dnsbl.RetryTime/time.Second)+3)
	})
}

func TestOddCodeIsAReasonToTest(t *testing.T) {
	t.Parallel()
	for _, broken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dns := newDNS("a.example")
			c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example")
			c.Test(t.Context())
			time.Sleep(dnsbl.RetryTime)
			dns.set(entry4+"a.example", entry{codes: []string{"127.255.255.255"}})
			if broken {
				dns.set(test4+"a.example", entry{codes: []string{"127.255.255.255"}})
			}
			v := arrive(t, c.Check(), client)
			r, err := v.mail("ann@example.net", "bob@example.com")
			synctest.Wait()
			v.leave()
			require.NoError(t, err, "a refusal is no listing")
			require.Equal(t, []string{"a.example"}, r.Unknown)
			s := status(t, c, dnsbl.IPv4)
			require.Equal(t, time.Now(), s.Tested)
			require.Equal(t, broken, s.State == dnsbl.Down)
			for range 10 { // what one address leads to must not make it test all the time
				_, err = visit(t, c, client)
				require.NoError(t, err)
			}
			require.Equal(t, 2, dns.count(test4+"a.example"))
		})
	}
}

func TestListThatDoesNotAnswerIsSwitchedOff(t *testing.T) {
	t.Parallel()
	for _, silent := range []entry{{hangs: true}, {fails: true}, {panic: true}} {
		synctest.Test(t, func(t *testing.T) {
			dns, log := newDNS("a.example"), new(logs)
			c := newChecker(t, dnsbl.Options{Resolver: dns, Logger: log.logger()}, "secret@a.example")
			c.Test(t.Context())
			dns.set("*.a.example", silent)
			dns.set(test4+"a.example", silent)
			var waited time.Duration
			for i := range 20 {
				start := time.Now()
				v := arrive(t, c.Check(), client)
				r, err := v.mail("ann@example.net", "bob@example.com")
				require.NoError(t, err)
				require.Equal(t, []string{"secret"}, r.Unknown)
				waited += time.Since(start)
				synctest.Wait()
				v.leave()
				s := status(t, c, dnsbl.IPv4)
				require.Equal(t, i >= dnsbl.DefaultMaxUnanswered, s.State == dnsbl.Down, "the last one, after the test: %d", i)
				if i < dnsbl.DefaultMaxUnanswered {
					require.EqualValues(t, i+1, s.Unanswered)
				} else { // a test that fails at once may be over before its session asks
					require.Contains(t, []uint64{dnsbl.DefaultMaxUnanswered, dnsbl.DefaultMaxUnanswered + 1}, s.Unanswered)
				}
			}
			require.LessOrEqual(t, waited, (dnsbl.DefaultMaxUnanswered+1)*dnsbl.DefaultMaxTime)
			var warnings []string
			for _, line := range log.lines() {
				if strings.HasPrefix(line, "level=WARN") { // panics are told of, too
					warnings = append(warnings, line)
				}
			}
			require.Equal(t, []string{
				`level=WARN msg="dnsbl: the list is switched off" list=secret class=IPv4 reason="does not answer"`,
			}, warnings)

			// It is tried again less and less often.
			asked := dns.count(never4 + "a.example")
			for range 24 * 60 * 2 {
				v := arrive(t, c.Check(), client)
				time.Sleep(dnsbl.RetryTime)
				v.leave()
			}
			tests := dns.count(never4+"a.example") - asked
			require.GreaterOrEqual(t, tests, 24)
			require.LessOrEqual(t, tests, 24+8)
		})
	}
}

func TestUnansweredQueriesBetweenAnswersDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example")
		dns.set("1.113.0.203.a.example", entry{fails: true})
		c := newChecker(t, dnsbl.Options{Resolver: dns, MaxUnanswered: 2}, "a.example")
		for range 10 {
			for _, addr := range []string{"203.0.113.1", "203.0.113.2"} {
				_, err := visit(t, c, addr)
				require.NoError(t, err)
			}
		}
		require.Equal(t, dnsbl.Up, status(t, c, dnsbl.IPv4).State)
	})
}

func TestListIsNotSwitchedOffByWhatOneClientAsks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns, log := newDNS("d.example"), new(logs)
		dns.set("*.odd.example.d.example", entry{fails: true})
		dns.set("bad.example.d.example", entry{codes: []string{someCode}})
		c := newChecker(t, dnsbl.Options{Resolver: dns, Logger: log.logger()}, "sender:d.example")
		c.Test(t.Context())
		v := arrive(t, c.Check(), client)
		defer v.leave()
		for range 10 * dnsbl.DefaultMaxUnanswered {
			r, err := v.mail("ann@really.odd.example", "bob@example.com")
			require.NoError(t, err)
			require.Equal(t, []string{"d.example"}, r.Unknown)
			synctest.Wait()
		}
		_, err := v.mail("ann@bad.example", "bob@example.com")
		require.Error(t, err)
		require.Equal(t, dnsbl.Up, status(t, c, dnsbl.Domain).State)
		require.Equal(t, []string{""}, log.lines())
	})
}

func TestListWithoutTestEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS().list("a.example")
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "untested:a.example")
		r, _ := visit(t, c, client)
		require.Equal(t, 1, r.Score)
		dns.set("*.a.example", entry{codes: []string{someCode}})
		time.Sleep(dnsbl.DefaultTestInterval)
		r, _ = visit(t, c, client)
		require.Equal(t, 0, r.Score, "that it lists everything is found out all the same")
	})
}

func TestListMayHaveOnlyIPv4(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns, log := newDNS("a.example").list("a.example"), new(logs)
		dns.remove(test6 + "a.example")
		c := newChecker(t, dnsbl.Options{Resolver: dns, Logger: log.logger()}, "a.example")
		for range 3 {
			v := arrive(t, c.Check(), "2001:db8::1")
			_, err := v.mail("ann@example.net", "bob@example.com")
			require.NoError(t, err)
			synctest.Wait() // a session that ends gives up the test that it makes
			v.leave()
			r, _ := visit(t, c, client)
			require.Equal(t, 1, r.Score)
			r, _ = visit(t, c, "::ffff:"+client)
			require.Equal(t, 1, r.Score, "a mapped address is an IPv4 address")
		}
		require.Equal(t, []string{
			`level=INFO msg="dnsbl: the list is switched off" list=a.example class=IPv6 reason="lacks the test entry"`,
		}, log.lines())
	})
}

func TestOneTestForManySessions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example").list("a.example")
		dns.set(test4+"a.example", entry{codes: []string{someCode}, after: time.Second})
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example")
		scores := make(chan int, 50)
		for range cap(scores) {
			go func() {
				r, _ := visit(t, c, client)
				scores <- r.Score
			}()
		}
		for range cap(scores) {
			require.Equal(t, 1, <-scores, "all wait for the test")
		}
		require.Equal(t, 1, dns.count(test4+"a.example"))
	})
}

func TestTestOfASessionThatEndsIsTakenOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example").list("a.example")
		dns.set(test4+"a.example", entry{codes: []string{someCode}, after: 2 * time.Second})
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example")
		hasty := arrive(t, c.Check(), "203.0.113.77")
		patient := arrive(t, c.Check(), client)
		time.Sleep(dnsbl.DefaultStressTime / 2)
		hasty.leave() // whose test it was
		r, _ := patient.mail("ann@example.net", "bob@example.com")
		patient.leave()
		require.Equal(t, 1, r.Score)
		require.Equal(t, 2, dns.count(test4+"a.example"))
		s := status(t, c, dnsbl.IPv4)
		require.Equal(t, dnsbl.Up, s.State)
		require.Zero(t, s.Unanswered, "who leaves is no fault of the list's")
	})
}

func TestTestOnDemandGoesOnWhereASessionGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example")
		dns.set(test4+"a.example", entry{codes: []string{someCode}, after: 2 * time.Second})
		c := newChecker(t, dnsbl.Options{Resolver: dns}, "a.example")
		v := arrive(t, c.Check(), client)
		time.AfterFunc(dnsbl.DefaultStressTime/2, v.leave)
		require.Equal(t, dnsbl.Up, c.Test(t.Context())[0].State)
	})
}

func TestTestOnDemand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example")
		dns.set(test4+"a.example", entry{hangs: true})
		c := newChecker(t, dnsbl.Options{Resolver: dns, MaxTime: time.Minute}, "a.example")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		v := arrive(t, c.Check(), client) // whose test runs
		require.Equal(t, dnsbl.Untested, c.Test(ctx)[0].State)
		require.Equal(t, time.Second, time.Since(start), "it waits no longer than it may")
		v.leave()

		dns.set(test4+"a.example", entry{codes: []string{someCode}})
		require.Equal(t, dnsbl.Up, c.Test(t.Context())[0].State)
		dns.remove(test4 + "a.example")
		require.Equal(t, dnsbl.Down, c.Test(t.Context())[0].State, "although none was due")
		require.Empty(t, newChecker(t, dnsbl.Options{}, "").Test(t.Context()))
	})
}

func TestZonesAreAskedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("dnswl.example")
		dns.set(entry4+"dnswl.example", entry{codes: []string{"127.0.9.2"}})
		c := newChecker(t, dnsbl.Options{Resolver: dns}, `dnswl.example=127.0.[0..255].1*-2 DNSWL.example=127.0.[0..255].2*-3
			dnswl.example.=127.0.[0..255].3*-4`)
		r, err := visit(t, c, client)
		require.NoError(t, err)
		require.Equal(t, -3, r.Score)
		require.True(t, r.Good)
		require.Equal(t, 1, dns.count(entry4+"dnswl.example"))
		require.Equal(t, 1, dns.count(test4+"dnswl.example"))
		require.Len(t, c.Status(), 2)
	})
}

func TestCheckerForTwoServers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dns := newDNS("a.example", "b.example").list("a.example", "b.example")
		one := newChecker(t, dnsbl.Options{Resolver: dns, RefuseAt: -1}, "a.example")
		two := newChecker(t, dnsbl.Options{Resolver: dns, RefuseAt: -1}, "b.example*5")
		checks := []smtpd.Check{one.Check(), two.Check()}
		v := arrive(t, checks[0], client)
		r, _ := v.mail("ann@example.net", "bob@example.com")
		require.Equal(t, 1, r.Score)
		w := visitor{t, checks[1], v.s} // a second Checker in the same session
		r, _ = w.mail("ann@example.net", "bob@example.com")
		require.Equal(t, 5, r.Score)
		v.leave()
		w.leave()
	})
}
