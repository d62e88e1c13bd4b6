package imapd

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/mailbricks/mailbricks/imapd/internal/wire"
	"github.com/mailbricks/mailbricks/internal/serving"
	"github.com/mailbricks/mailbricks/mailbox"
)

// states are the states of RFC 3501 §3 in which a command is valid.
type states uint8

const (
	notAuthenticated states = 1 << iota
	authenticated
	inMailbox // the selected state

	anyState = notAuthenticated | authenticated | inMailbox
	loggedIn = authenticated | inMailbox
)

// telling says what a client is told at the end of a command, of what happened to the selected mailbox.
type telling uint8

const (
	tellNothing   telling = iota // the command leaves the mailbox, or has just entered it
	tellNoExpunge                // RFC 3501 §7.4.1: FETCH, STORE, SEARCH
	tellAll
)

// command is a row of the command table. run parses the arguments and executes the command; nil means OK.
type command struct {
	name  string
	valid states
	tell  telling
	run   func(c *conn, ctx context.Context) error
}

// unknownCommand stands for what is no command.
const unknownCommand = "UNKNOWN"

// commandOf is the command table. Extensions with commands of their own add their rows here.
func commandOf(name string) (command, bool) {
	row := func(valid states, tell telling, run func(*conn, context.Context) error) (command, bool) {
		return command{name, valid, tell, run}, true
	}
	switch name {
	case "CAPABILITY": // RFC 3501 §6.1
		return row(anyState, tellAll, (*conn).capability)
	case "NOOP":
		return row(anyState, tellAll, (*conn).noop)
	case "LOGOUT":
		return row(anyState, tellNothing, (*conn).logout)
	case "ID": // RFC 2971
		return row(anyState, tellAll, (*conn).idCommand)

	case "STARTTLS": // RFC 3501 §6.2
		return row(notAuthenticated, tellNothing, (*conn).starttls)
	case "AUTHENTICATE":
		return row(notAuthenticated, tellNothing, (*conn).authenticate)
	case "LOGIN":
		return row(notAuthenticated, tellNothing, (*conn).login)

	case "SELECT": // RFC 3501 §6.3
		return row(loggedIn, tellNothing, (*conn).selectCommand)
	case "EXAMINE":
		return row(loggedIn, tellNothing, (*conn).examine)
	case "CREATE":
		return row(loggedIn, tellAll, (*conn).create)
	case "DELETE":
		return row(loggedIn, tellAll, (*conn).delete)
	case "RENAME":
		return row(loggedIn, tellAll, (*conn).rename)
	case "SUBSCRIBE":
		return row(loggedIn, tellAll, (*conn).subscribe)
	case "UNSUBSCRIBE":
		return row(loggedIn, tellAll, (*conn).unsubscribe)
	case "LIST":
		return row(loggedIn, tellAll, (*conn).list)
	case "LSUB":
		return row(loggedIn, tellAll, (*conn).lsub)
	case "STATUS":
		return row(loggedIn, tellAll, (*conn).statusCommand)
	case "APPEND":
		return row(loggedIn, tellAll, (*conn).appendCommand)
	case "NAMESPACE": // RFC 2342
		return row(loggedIn, tellAll, (*conn).namespace)
	case "ENABLE": // RFC 5161
		return row(loggedIn, tellAll, (*conn).enable)
	case "IDLE": // RFC 2177
		return row(loggedIn, tellAll, (*conn).idle)
	}
	return selectedCommandOf(name)
}

// selectedCommandOf is the part of the command table for the selected state.
func selectedCommandOf(name string) (command, bool) {
	row := func(tell telling, run func(*conn, context.Context) error) (command, bool) {
		return command{name, inMailbox, tell, run}, true
	}
	switch name {
	case "CHECK": // RFC 3501 §6.4
		return row(tellAll, (*conn).noop)
	case "CLOSE":
		return row(tellNothing, (*conn).closeCommand)
	case "UNSELECT": // RFC 3691
		return row(tellNothing, (*conn).unselect)
	case "EXPUNGE":
		return row(tellAll, (*conn).expunge)
	case "UID EXPUNGE": // RFC 4315
		return row(tellAll, (*conn).uidExpunge)
	case "SEARCH", "UID SEARCH":
		return row(tellNoExpunge, (*conn).search)
	case "FETCH", "UID FETCH":
		return row(tellNoExpunge, (*conn).fetch)
	case "STORE", "UID STORE":
		return row(tellNoExpunge, (*conn).storeCommand)
	case "COPY", "UID COPY":
		return row(tellAll, (*conn).copyCommand)
	case "MOVE", "UID MOVE": // RFC 6851
		return row(tellAll, (*conn).move)
	}
	return command{name: unknownCommand}, false
}

// state is where the session is.
func (c *conn) state() states {
	switch {
	case c.sel != nil:
		return inMailbox
	case c.store != nil:
		return authenticated
	}
	return notAuthenticated
}

// command reads one command, runs it and answers it. It fails when the session is over.
func (c *conn) command() error {
	began := time.Now()
	c.tag, c.uidMode, c.after = "*", false, nil
	if err := c.dec.Next(); err != nil {
		return c.readError(err)
	}
	c.setWaiting(false, time.Time{})
	if c.sel != nil {
		c.sel.told = c.sel.told[:0]
	}
	cmd, err := c.readCommand()
	if err == nil {
		err = cmd.run(c, c.ctx)
	}
	if errors.Is(err, errBye) {
		return err
	}
	if err := c.broken(); err != nil {
		return c.readError(err)
	}
	return c.finish(cmd, err, began)
}

// broken is the error after which the connection is of no use.
func (c *conn) broken() error {
	if err := c.dec.Broken(); err != nil {
		return err
	}
	return c.enc.Err()
}

// readError ends the session for an error in the middle of a command.
func (c *conn) readError(err error) error {
	switch {
	case errors.Is(err, serving.ErrDraining):
		return c.bye("", "Server is shutting down")
	case errors.Is(err, wire.ErrLineTooLong):
		return errors.Join(c.bye(codeTooBig, "Command is too long"), err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.Join(c.bye("", "Command did not come to its end"), err)
	}
	return err
}

// readCommand reads the tag and the name.
func (c *conn) readCommand() (command, error) {
	cmd := command{name: unknownCommand}
	var tag, name string
	if !c.dec.Tag(&tag) {
		return cmd, c.dec.Err()
	}
	c.tag = tag
	if !c.dec.SP() || !c.dec.Keyword(&name) {
		return cmd, c.dec.Err()
	}
	if name == "UID" {
		c.uidMode = true
		if !c.dec.SP() || !c.dec.Keyword(&name) {
			return cmd, c.dec.Err()
		}
		name = "UID " + name
	}
	cmd, known := commandOf(name)
	if !known {
		return cmd, bad("Unknown command")
	}
	if cmd.valid&c.state() == 0 {
		return cmd, stateError(cmd.valid)
	}
	return cmd, nil
}

func stateError(valid states) error {
	switch {
	case valid == notAuthenticated:
		return bad("Already logged in")
	case valid&authenticated != 0:
		return bad("Log in first")
	}
	return bad("Select a mailbox first")
}

// finish skips what is left of the command, tells what happened meanwhile, and answers.
func (c *conn) finish(cmd command, err error, began time.Time) error {
	r := ok("", cmd.name+" completed")
	if err != nil {
		r = replyTo(err)
	}
	skipErr := c.dec.Skip()
	if skipErr == nil && r.kind != "BAD" {
		if err := c.tell(cmd); err != nil {
			return err
		}
	}
	c.status(c.tag, r)
	c.report(cmd, r, time.Since(began))
	if errors.Is(skipErr, wire.ErrDrain) {
		return c.bye(codeTooBig, "Literal is too long")
	}
	if skipErr != nil {
		return c.readError(skipErr)
	}
	if r.kind == "OK" && c.after != nil {
		return c.after()
	}
	return c.countErrors(r)
}

// tell syncs the session with the selected mailbox.
func (c *conn) tell(cmd command) error {
	if c.sel == nil || cmd.tell == tellNothing {
		return nil
	}
	return c.syncOrLeave(cmd.tell == tellAll)
}

// syncOrLeave syncs. A mailbox that is gone ends the session, as RFC 2180 §3.3 advises; any other failure is none of
// the command's.
func (c *conn) syncOrLeave(expunge bool) error {
	err := c.sync(c.ctx, expunge)
	if errors.Is(err, mailbox.ErrNoMailbox) {
		return c.bye(codeNonexistent, "The selected mailbox was deleted")
	}
	if err != nil {
		c.log.Warn("imapd: cannot learn of changes", "mailbox", c.sel.name, "err", err)
	}
	return nil
}

func (c *conn) report(cmd command, r *reply, took time.Duration) {
	if c.set.Trace.Command != nil {
		c.set.Trace.Command(&c.Session, cmd.name, r.kind, took)
	}
	level := slog.LevelDebug
	if r.code == codeUnavailable {
		level = slog.LevelWarn
	}
	if c.log.Enabled(c.ctx, level) {
		c.log.Log(c.ctx, level, "imapd: command", "name", cmd.name, "status", r.kind, "code", r.code, "took", took, "err", r.err)
	}
}

// countErrors ends the session of a client that talks nonsense.
func (c *conn) countErrors(r *reply) error {
	if r.kind != "BAD" {
		c.errors = 0
		return nil
	}
	if c.errors++; serving.Reached(c.errors, c.set.maxErrors) {
		return c.bye("", "Too many errors")
	}
	return nil
}
