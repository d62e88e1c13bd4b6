package serving_test

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// alarms counts how often deadlines are set.
type alarms struct {
	net.Conn
	reads, writes int
}

func (a *alarms) SetReadDeadline(t time.Time) error {
	a.reads++
	return a.Conn.SetReadDeadline(t)
}

func (a *alarms) SetWriteDeadline(t time.Time) error {
	a.writes++
	return a.Conn.SetWriteDeadline(t)
}

// A deadline that is set does for the next read, or write, if that is to end hardly later.
func TestDeadlinesAreSetSeldom(t *testing.T) {
	inPair(t, func(p *pair) {
		counted := &alarms{Conn: p.raw}
		p.conn.Init(counted, writeTimeout)
		buf := make([]byte, 10)
		for range 1000 { // 2.5 seconds
			p.send("x\n")
			line, err := p.conn.ReadLine(time.Now().Add(time.Minute), true)
			require.NoError(p.t, err)
			p.conn.Out = append(p.conn.Out, line...)
			require.NoError(p.t, p.conn.Flush())
			_, err = p.peer.Read(buf)
			require.NoError(p.t, err)
			time.Sleep(2500 * time.Microsecond)
		}
		require.InDelta(p.t, 3, counted.reads, 1)
		require.InDelta(p.t, 3, counted.writes, 1)
	})
}

// Time-outs are early by no more than a 64th and a second, never late, and over when they have come.
func TestDeadlinesHold(t *testing.T) {
	for _, timeout := range []time.Duration{50 * time.Millisecond, 10 * time.Second, time.Hour} {
		t.Run(timeout.String(), func(t *testing.T) {
			inPair(t, func(p *pair) {
				for i := range 200 {
					p.send("x\n")
					_, err := p.conn.ReadLine(time.Now().Add(timeout), true)
					require.NoError(p.t, err)
					time.Sleep(time.Duration(i) * timeout / 10000)
					began := time.Now()
					_, err = p.conn.ReadLine(began.Add(timeout), true)
					require.ErrorIs(p.t, err, os.ErrDeadlineExceeded)
					require.LessOrEqual(p.t, time.Since(began), timeout)
					require.GreaterOrEqual(p.t, time.Since(began), timeout-min(timeout/64, time.Second))
				}
			})
		})
	}
}

// A shorter deadline than the one before holds, as does a shutdown.
func TestShorterDeadline(t *testing.T) {
	inPair(t, func(p *pair) {
		p.send("x\n")
		_, err := p.conn.ReadLine(time.Now().Add(time.Hour), true)
		require.NoError(p.t, err)
		began := time.Now()
		_, err = p.conn.ReadLine(began.Add(time.Second), true)
		require.ErrorIs(p.t, err, os.ErrDeadlineExceeded)
		require.Equal(p.t, time.Second, time.Since(began))
		time.AfterFunc(time.Second, p.conn.Drain)
		_, err = p.conn.ReadLine(time.Now().Add(time.Second+time.Millisecond), true)
		require.True(p.t, errors.Is(err, serving.ErrDraining), err)
	})
}
