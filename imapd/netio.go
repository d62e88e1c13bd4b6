package imapd

import "time"

// input reads from the peer with the right deadline, after sending what is buffered: nothing is left unsent while the
// session waits.
type input struct{ c *conn }

func (in input) Read(p []byte) (int, error) {
	c := in.c
	if !c.idling {
		if err := c.enc.Flush(); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(p, c.deadline(), c.waiting)
}

// deadline is until when what the session reads now must have come.
func (c *conn) deadline() time.Time {
	deadline := time.Now().Add(c.set.read)
	if c.waiting && !c.waitUntil.IsZero() {
		deadline = c.waitUntil
	}
	if !c.loginBy.IsZero() && c.loginBy.Before(deadline) {
		deadline = c.loginBy
	}
	return deadline
}

// setWaiting says whether Shutdown may end the session, and until when it waits.
func (c *conn) setWaiting(on bool, until time.Time) { c.waiting, c.waitUntil = on, until }
