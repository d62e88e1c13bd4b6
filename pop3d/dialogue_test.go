package pop3d_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/pop3d"
)

// message makes a message of exactly this many octets.
func message(size int) string {
	const header = "Subject: x\r\n\r\n"
	return header + strings.Repeat("x", size-len(header)-2) + "\r\n"
}

// TestRFC1939 is the session of RFC 1939 §10 (with USER and PASS for APOP), and its examples of each command.
func TestRFC1939(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.putRaw(message(120))
		w.putRaw(message(200))
		w.talk(login + `
			C: STAT
			S: +OK 2 320
			C: LIST
			S: +OK 2 messages (320 octets)
			S: 1 120
			S: 2 200
			S: .
			C: LIST 2
			S: +OK 2 200
			C: LIST 3
			S: -ERR No such message
			C: RETR 1
			S: +OK 120 octets
			S: Subject: x
			S:
			S: xxxx*
			S: .
			C: DELE 1
			S: +OK Message 1 deleted
			C: DELE 1
			S: -ERR Message 1 is deleted
			C: STAT
			S: +OK 1 200
			C: RETR 2
			S: +OK 200 octets
			S: Subject: x
			S:
			S: xxxx*
			S: .
			C: NOOP
			S: +OK
			C: RSET
			S: +OK Maildrop has 2 messages (320 octets)
			C: DELE 1
			S: +OK Message 1 deleted
			C: DELE 2
			S: +OK Message 2 deleted
			C: LIST
			S: +OK 0 messages (0 octets)
			S: .
			C: QUIT
			S: +OK Bye
			S$
		`)
		require.Empty(t, w.left())
		w.talk(login + `
			C: STAT
			S: +OK 0 0
			C: UIDL
			S: +OK Unique ids follow
			S: .
			C: QUIT
			S: +OK Bye
			S$
		`)
	})
}

func TestStates(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.MaxErrors = -1 }, func(w *world) {
		w.put("Subject: a\n\nb\n")
		for _, verb := range []string{"STAT", "LIST", "LIST 1", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 1", "UIDL", "UIDL 1"} {
			w.talk(greeting + `
				C: ` + verb + `
				S: -ERR Log in first
			`)
		}
		for _, verb := range []string{"USER ann@example.com", "PASS secret", "AUTH", "AUTH PLAIN", "STLS"} {
			w.talk(login + `
				C: ` + verb + `
				S: -ERR You have logged in already
				C: QUIT
				S: +OK Bye
				S$
			`)
		}
		w.talk(greeting + `
			C: QUIT
			S: +OK Bye
			S$
		`)
	})
}

func TestSyntax(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.MaxErrors = -1 }, func(w *world) {
		w.put("Subject: a\n\nb\n")
		script := greeting + `
			C: user
			S: -ERR USER needs an argument
			C: USER 
			S: -ERR USER needs an argument
			C: PASS secret
			S: -ERR USER first
			C: APOP ann c4c9334bac560ecc979e58001b3e22fb
			S: -ERR Unknown command
			C: 
			S: -ERR Unknown command
			R: "\x00\xff\r\n"
			S: -ERR Unknown command
			C: CAPA x
			S: -ERR CAPA takes no argument
			R: "quit now\n"
			S: -ERR QUIT takes no argument
			C: user ann@example.com
			S: +OK Send your password
			C: pass secret
			S: +OK Maildrop has 1 messages (17 octets)
			C: stat  
			S: +OK 1 17
			C: STAT 1
			S: -ERR STAT takes no argument
			C: LIST 1 
			S: +OK 1 17
			C: RETR
			S: -ERR RETR needs an argument
		`
		for _, n := range []string{"0", "2", "999999999"} {
			script += "C: RETR " + n + "\nS: -ERR No such message\nC: TOP " + n + " 1\nS: -ERR No such message\n"
		}
		for _, n := range []string{"-1", "+1", "1x", "x", "1 2", " 1", "9999999999", "0x1"} {
			for _, verb := range []string{"RETR", "DELE", "LIST", "UIDL"} {
				script += "C: " + verb + " " + n + "\nS: -ERR Not a message number\n"
			}
		}
		for _, n := range []string{"1", "1 ", "1 -1", "1 x", "1 1 1", "1 9999999999"} {
			script += "C: TOP " + n + "\nS: -ERR TOP needs a message number and a number of lines\n"
		}
		w.talk(script + `
			C: top 1  1 
			S: +OK Top of message follows
			S: Subject: a
			S: 
			S: b
			S: .
			C: quit
			S: +OK Bye
			S$
		`)
	})
}

func TestCapabilities(t *testing.T) {
	const always = `
		S: TOP
		S: UIDL
		S: RESP-CODES
		S: AUTH-RESP-CODE
		S: PIPELINING
		S: EXPIRE NEVER
	`
	inWorld(t, nil, func(w *world) {
		w.talk(greeting + `
			C: CAPA
			S: +OK Capability list follows
		` + always + `
			S: USER
			S: SASL PLAIN LOGIN
			S: IMPLEMENTATION mailbricks
			S: .
			C: USER ann@example.com
			S: +OK *
			C: PASS secret
			S: +OK *
			C: CAPA
			S: +OK Capability list follows
		` + always + `
			S: IMPLEMENTATION mailbricks
			S: .
		`)
	})
}

func TestUIDL(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: b\n\n", "a: b\n\n", "a: b\n\n")
		_, err := w.inbox.Expunge(w.t.Context(), []mailbox.UID{2})
		require.NoError(t, err)
		status, err := w.inbox.Status(w.t.Context())
		require.NoError(t, err)
		first, third := fmt.Sprintf("%08x%08x", 1, status.UIDValidity), fmt.Sprintf("%08x%08x", 3, status.UIDValidity)
		w.talk(login + `
			C: UIDL
			S: +OK Unique ids follow
			S: 1 ` + first + `
			S: 2 ` + third + `
			S: .
			C: UIDL 2
			S: +OK 2 ` + third + `
			C: DELE 1
			S: +OK *
			C: UIDL
			S: +OK *
			S: 2 ` + third + `
			S: .
			C: UIDL 1
			S: -ERR Message 1 is deleted
			C: QUIT
			S: +OK Bye
		`)
	})
}

func TestTop(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("Subject: a\n\n1\n..2\n\n4\n", "Subject: only\n", "Subject: no end", "", "\n1\n2\n")
		w.putRaw("A: b\n\n.c\nd\n")
		w.talk(login + `
			C: TOP 1 0
			S: +OK *
			S: Subject: a
			S:
			S: .
			C: TOP 1 2
			S: +OK *
			S: Subject: a
			S:
			S: 1
			S: ...2
			S: .
			C: TOP 1 3
			S: +OK *
			S: Subject: a
			S:
			S: 1
			S: ...2
			S:
			S: .
			C: TOP 1 100
			S: +OK *
			S: Subject: a
			S:
			S: 1
			S: ...2
			S:
			S: 4
			S: .
			C: TOP 2 5
			S: +OK *
			S: Subject: only
			S: .
			C: TOP 3 5
			S: +OK *
			S: Subject: no end
			S: .
			C: TOP 4 5
			S: +OK *
			S: .
			C: TOP 5 1
			S: +OK *
			S:
			S: 1
			S: .
			C: TOP 6 1
			S: +OK *
			S: A: b
			S:
			S: ..c
			S: .
			C: QUIT
			S: +OK Bye
		`)
		require.Empty(t, w.seen(), "TOP does not count as reading")
	})
}

// TestRetrieve: lines that start with a dot, bare LFs, no last line end.
func TestRetrieve(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, m := range []string{".\r\n..\r\n.x\r\n", ".a\n.b\r\nc\n", "a\r\n.", "a\r", "", "\n"} {
			w.putRaw(m)
		}
		w.talk(login + `
			C: RETR 1
			S: +OK 11 octets
			S: ..
			S: ...
			S: ..x
			S: .
			C: RETR 2
			S: +OK 9 octets
			S: ..a
			S: ..b
			S: c
			S: .
			C: RETR 3
			S: +OK 4 octets
			S: a
			S: ..
			S: .
			C: RETR 4
			S: +OK 2 octets
			S: a
			S: .
			C: RETR 5
			S: +OK 0 octets
			S: .
			C: RETR 6
			S: +OK 1 octets
			S:
			S: .
			C: QUIT
			S: +OK Bye
		`)
		require.Len(t, w.seen(), 6)
	})
}

// TestPipelining: a batch of commands is answered in one go (RFC 2449 §6.6).
func TestPipelining(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: b\n\n.\n")
		w.talk(greeting + `
			C: CAPA
			C: USER ann@example.com
			C: PASS secret
			C: STAT
			C: RETR 1
			C: DELE 1
			C: QUIT
			S: +OK Capability list follows
			S: TOP
			S: UIDL
			S: RESP-CODES
			S: AUTH-RESP-CODE
			S: PIPELINING
			S: EXPIRE NEVER
			S: USER
			S: SASL PLAIN LOGIN
			S: IMPLEMENTATION mailbricks
			S: .
			S: +OK Send your password
			S: +OK Maildrop has 1 messages (11 octets)
			S: +OK 1 11
			S: +OK 11 octets
			S: a: b
			S:
			S: ..
			S: .
			S: +OK Message 1 deleted
			S: +OK Bye
			S$
		`)
		require.Empty(t, w.left())
	})
}

// TestHalfClose: a client that says all at once and closes its side gets its answers.
func TestHalfClose(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: b\n\n")
		w.talk(greeting + `
			C: USER ann@example.com
			C: PASS secret
			C: DELE 1
			C: QUIT
			H:
			S: +OK *
			S: +OK *
			S: +OK *
			S: +OK Bye
			S$
		`)
		require.Empty(t, w.left())
	})
}

// TestNoQuitNoUpdate: a session that ends without QUIT changes nothing (RFC 1939 §6).
func TestNoQuitNoUpdate(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: b\n\n")
		w.talk(login + `
			C: RETR 1
			S: +OK *
			S: a: b
			S:
			S: .
			C: DELE 1
			S: +OK *
			H:
			S$
		`)
		require.Len(t, w.left(), 1)
		require.Empty(t, w.seen())
	})
}

func TestKeepUnseen(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.KeepUnseen = true }, func(w *world) {
		w.put("a: b\n\n")
		w.talk(login + `
			C: RETR 1
			S: +OK *
			S: a: b
			S:
			S: .
			C: QUIT
			S: +OK Bye
			S$
		`)
		require.Empty(t, w.seen())
	})
}

// TestSnapshot: message numbers stay what they are while others add and remove.
func TestSnapshot(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.put("a: 1\n\n", "a: 2\n\n", "a: 3\n\n")
		c := w.dial("203.0.113.9")
		c.Talk(login)
		w.put("a: 4\n\n")
		_, err := w.inbox.Expunge(w.t.Context(), []mailbox.UID{1, 3})
		require.NoError(t, err)
		c.Talk(`
			C: STAT
			S: +OK 3 24
			C: RETR 1
			S: -ERR Message has been removed by another session
			C: TOP 3 1
			S: -ERR Message has been removed by another session
			C: RETR 2
			S: +OK 8 octets
			S: a: 2
			S:
			S: .
			C: RETR 4
			S: -ERR No such message
			C: DELE 1
			S: +OK *
			C: DELE 2
			S: +OK *
			C: QUIT
			S: +OK Bye
			S$
		`)
		require.Equal(t, []mailbox.UID{4}, w.left(), "what others removed is no failure")
	})
}

func TestInUse(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		first := w.dial("203.0.113.9")
		first.Talk(login)
		second := w.dial("203.0.113.9")
		second.Talk(greeting + `
			C: USER ann@example.com
			S: +OK *
			C: PASS secret
			S: -ERR [IN-USE] Another session has this mailbox open
		`)
		first.Talk(`
			C: QUIT
			S: +OK Bye
			S$
		`)
		second.Talk(`
			C: USER ann@example.com
			S: +OK *
			C: PASS secret
			S: +OK *
		`)
		require.NoError(t, second.Conn.Close())
		w.talk("W: 1s" + login)
	})
}

func TestLargeMaildrop(t *testing.T) {
	inWorld(t, func(s *pop3d.Server) { s.MaxMessages = 2500 }, func(w *world) {
		for range 2600 {
			w.putRaw("\r\n")
		}
		script := login + "C: STAT\nS: +OK 2500 5000\nC: UIDL\nC: LIST\nS: +OK *\n"
		for i := range 2500 {
			script += fmt.Sprintf("S: %d *\n", i+1)
		}
		script += "S: .\nS: +OK *\n"
		for i := range 2500 {
			script += fmt.Sprintf("S: %d 2\n", i+1)
		}
		w.talk(script + "S: .\nC: QUIT\nS: +OK Bye\n")
	})
}
