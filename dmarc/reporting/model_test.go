package reporting_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/dmarc/reporting"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// Whatever happens in whatever order (mail, nights, restarts, power cuts, disks and queues that fail, clocks that are set),
// each message that was on disk is told of once, and none twice.
func TestNumbersStayInStep(t *testing.T) {
	t.Parallel()
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newModel(t, seed).run() })
		})
	}
}

type model struct {
	t     *testing.T
	rand  *rand.Rand
	fs    *crashfs.FS
	box   *outbox
	clock clock
	r     *reporting.Reporter
	done  chan error

	fresh    map[string]int64 // recorded since the last time that all was on disk
	safe     map[string]int64 // at least that must be told
	recorded map[string]int64 // at most that may be
}

func newModel(t *testing.T, seed uint64) *model {
	return &model{
		t: t, rand: rand.New(rand.NewPCG(seed, 1)), fs: crashfs.New(), box: &outbox{},
		fresh: map[string]int64{}, safe: map[string]int64{}, recorded: map[string]int64{},
	}
}

func (m *model) open() {
	m.r = newReporter("/reports", m.box, nil)
	reporting.SetFS(m.r, m.fs)
	reporting.SetClock(m.r, m.clock.now)
	if m.rand.IntN(2) == 0 {
		reporting.RewriteAlways(m.r)
	}
	require.NoError(m.t, m.r.Open())
	m.done = make(chan error, 1)
	go func(r *reporting.Reporter, done chan error) { done <- r.Run(context.Background()) }(m.r, m.done)
}

func (m *model) close() {
	_ = m.r.Close()
	<-m.done
}

// settled says that all is on disk.
func (m *model) settled() {
	for key, n := range m.fresh {
		m.safe[key] += n
	}
	clear(m.fresh)
}

func (m *model) run() {
	m.open()
	for range 60 {
		m.step()
	}
	m.clock.set(0)
	for range 8 {
		nextDay()
	}
	m.close()
	told := counts(m.t, m.box.take())
	for key, n := range m.safe {
		require.GreaterOrEqual(m.t, told[key], n, key)
	}
	for key, n := range told {
		require.LessOrEqual(m.t, n, m.recorded[key], key)
	}
}

func (m *model) step() {
	switch m.rand.IntN(12) {
	default:
		m.mail()
	case 4:
		pass(reporting.DefaultFlush + time.Second)
		m.settled()
	case 5:
		pass(time.Duration(m.rand.IntN(10)) * time.Hour)
	case 6:
		m.close()
		m.settled()
		m.open()
	case 7:
		m.powerCut()
	case 8: // the disk fails for a while
		kind := []string{"write", "sync", "rename", "create", "open", "syncdir"}[m.rand.IntN(6)]
		m.fs.Fail(func(op crashfs.Op) error {
			if op.Kind == kind {
				return syscall.EIO
			}
			return nil
		})
		m.mail()
		pass(time.Duration(m.rand.IntN(120)) * time.Minute)
		m.mail()
		m.fs.Fail(nil)
		pass(10 * time.Minute)
		m.settled()
	case 9: // the queue
		m.box.fail(func(reporting.Mail) error { return errQueue })
		pass(time.Duration(m.rand.IntN(10)) * time.Hour)
		m.box.fail(nil)
	case 10:
		m.clock.set(time.Duration(m.rand.IntN(40)-20) * time.Hour)
	}
}

func (m *model) mail() {
	for range 1 + m.rand.IntN(4) {
		domain, address := fmt.Sprintf("d%d.example", m.rand.IntN(3)), byte(m.rand.IntN(3))
		e := evaluation(domain, fmt.Sprintf("v=DMARC1; p=none; x=%d; rua=mailto:d@%s", m.rand.IntN(2), domain))
		e.Source = netip.AddrFrom4([4]byte{192, 0, 2, address})
		record(m.t, m.r, e)
		key := fmt.Sprintf("%s 192.0.2.%d", domain, address)
		m.fresh[key]++
		m.recorded[key]++
	}
}

// powerCut stops the machine within the next calls, and goes on with one of the states that this may leave.
func (m *model) powerCut() {
	m.fs.CrashAfter(m.fs.Calls() + 1 + m.rand.IntN(4))
	m.mail()
	pass(time.Duration(m.rand.IntN(20)) * time.Minute)
	m.fs.Crash()
	m.close()
	var states []crashfs.State
	for state := range m.fs.States() {
		states = append(states, state)
	}
	m.fs = states[m.rand.IntN(len(states))].FS
	clear(m.fresh) // perhaps lost
	m.open()
}
