package imapd_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/imapd"
	"github.com/mailbricks/mailbricks/mailbox"
)

// RFC 3501 §6.3.3-7.
func TestCreateDeleteRename(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.login().Talk(`
		C: A003 CREATE owatagusiam/
		S: A003 OK CREATE completed
		C: A004 CREATE owatagusiam/blurdybloop
		S: A004 OK CREATE completed
		C: a CREATE owatagusiam
		S: a NO [ALREADYEXISTS] Mailbox exists already
		C: b CREATE inbox
		S: b NO [ALREADYEXISTS] Mailbox exists already
		C: c CREATE "Entw&APw-rfe"
		S: c OK CREATE completed
		C: d CREATE "Entw&APw"
		S: d NO [CANNOT] Mailbox name is not valid modified UTF-7
		C: e DELETE nowhere
		S: e NO [NONEXISTENT] No such mailbox
		C: f DELETE INBOX
		S: f NO [CANNOT] INBOX cannot be deleted
		C: g RENAME owatagusiam/blurdybloop owatagusiam/x/
		S: g OK RENAME completed
		C: h RENAME nowhere y
		S: h NO [NONEXISTENT] No such mailbox
		C: i RENAME owatagusiam inbox
		S: i NO [ALREADYEXISTS] Mailbox exists already
		C: j LIST "" *
		S: * LIST (\HasNoChildren) "/" INBOX
		S: * LIST (\HasNoChildren) "/" Entw&APw-rfe
		S: * LIST (\HasChildren) "/" owatagusiam
		S: * LIST (\HasNoChildren) "/" owatagusiam/x
		S: j OK LIST completed
		C: k DELETE owatagusiam/x
		S: k OK DELETE completed
		C: l CREATE
		S: l BAD expected a space
		C: m DELETE a b
		S: m BAD unexpected text at the end of the command
		C: n RENAME a
		S: n BAD expected a space
	`)
}

func TestRenameInboxLeavesItEmpty(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.put(mail("one"))
	w.login().Talk(`
		C: a RENAME INBOX old-mail
		S: a OK RENAME completed
		C: b STATUS INBOX (MESSAGES)
		S: * STATUS INBOX (MESSAGES 0)
		S: b OK STATUS completed
		C: c STATUS old-mail (MESSAGES)
		S: * STATUS old-mail (MESSAGES 1)
		S: c OK STATUS completed
	`)
}

// Deleting the selected mailbox leaves it, so that the session can go on.
func TestDeleteOfTheSelectedMailbox(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	c := w.login()
	c.do("a CREATE x")
	c.do("b SELECT x")
	other := w.login()
	other.do("b SELECT x")
	c.Talk(`
		C: c DELETE x
		S: c OK DELETE completed
		C: d FETCH 1 FLAGS
		S: d BAD Select a mailbox first
	`)
	other.Talk(`
		C: c NOOP
		S: * BYE [NONEXISTENT] The selected mailbox was deleted
	`)
	other.closed()
}

// Renaming the selected mailbox keeps it selected.
func TestRenameOfTheSelectedMailbox(t *testing.T) {
	t.Parallel()
	c := start(t, nil).login()
	c.do("a CREATE x/y")
	c.do("b SELECT x/y")
	c.Talk(`
		C: c RENAME x z
		S: c OK RENAME completed
		C: d NOOP
		S: d OK NOOP completed
		C: e DELETE z/y
		S: e OK DELETE completed
		C: f CHECK
		S: f BAD Select a mailbox first
	`)
}

func TestCreateSpecialUse(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.login().Talk(`
		C: a CREATE MySent (USE (\sent))
		S: a OK CREATE completed
		C: b CREATE Both (USE (\Drafts \Junk))
		S: b NO [USEATTR] Special use not supported
		C: c CREATE Odd (USE (\All))
		S: c NO [USEATTR] Special use not supported
		C: d CREATE Odd (COLOUR (red))
		S: d BAD unknown parameter of CREATE
		C: e LIST "" *
		S: * LIST (\HasNoChildren) "/" INBOX
		S: * LIST (\HasNoChildren \Sent) "/" MySent
		S: e OK LIST completed
		C: f LIST (SPECIAL-USE) "" % RETURN (SPECIAL-USE)
		S: * LIST (\HasNoChildren \Sent) "/" MySent
		S: f OK LIST completed
	`)
}

// fixture makes the mailboxes of RFC 5258 §5.
func fixture(t *testing.T) *client {
	t.Helper()
	c := start(t, nil).login()
	for _, name := range []string{"Fruit", "Fruit/Apple", "Fruit/Banana", "Tofu", "Vegetable", "Vegetable/Broccoli", "Vegetable/Corn"} {
		c.do("x CREATE " + name)
	}
	for _, name := range []string{"INBOX", "Fruit/Banana", "Fruit/Peach", "Vegetable", "Vegetable/Broccoli"} {
		c.do("x SUBSCRIBE " + name)
	}
	return c
}

func TestListExtended(t *testing.T) {
	t.Parallel()
	fixture(t).Talk(`
		C: A01 LIST "" "*"
		S: * LIST (\HasNoChildren) "/" INBOX
		S: * LIST (\HasChildren) "/" Fruit
		S: * LIST (\HasNoChildren) "/" Fruit/Apple
		S: * LIST (\HasNoChildren) "/" Fruit/Banana
		S: * LIST (\HasNoChildren) "/" Tofu
		S: * LIST (\HasChildren) "/" Vegetable
		S: * LIST (\HasNoChildren) "/" Vegetable/Broccoli
		S: * LIST (\HasNoChildren) "/" Vegetable/Corn
		S: A01 OK LIST completed
		C: A02 LIST (SUBSCRIBED) "" "*"
		S: * LIST (\HasNoChildren \Subscribed) "/" INBOX
		S: * LIST (\HasNoChildren \Subscribed) "/" Fruit/Banana
		S: * LIST (\NonExistent \HasNoChildren \Subscribed) "/" Fruit/Peach
		S: * LIST (\HasChildren \Subscribed) "/" Vegetable
		S: * LIST (\HasNoChildren \Subscribed) "/" Vegetable/Broccoli
		S: A02 OK LIST completed
		C: A03 LIST () "" "%" RETURN (CHILDREN)
		S: * LIST (\HasNoChildren) "/" INBOX
		S: * LIST (\HasChildren) "/" Fruit
		S: * LIST (\HasNoChildren) "/" Tofu
		S: * LIST (\HasChildren) "/" Vegetable
		S: A03 OK LIST completed
		C: A04 LIST (REMOTE) "" "%" RETURN (SUBSCRIBED)
		S: * LIST (\HasNoChildren \Subscribed) "/" INBOX
		S: * LIST (\HasChildren) "/" Fruit
		S: * LIST (\HasNoChildren) "/" Tofu
		S: * LIST (\HasChildren \Subscribed) "/" Vegetable
		S: A04 OK LIST completed
		C: A08 LIST (SUBSCRIBED RECURSIVEMATCH) "" "%"
		S: * LIST (\HasNoChildren \Subscribed) "/" INBOX
		S: * LIST (\HasChildren) "/" Fruit ("CHILDINFO" ("SUBSCRIBED"))
		S: * LIST (\HasChildren \Subscribed) "/" Vegetable ("CHILDINFO" ("SUBSCRIBED"))
		S: A08 OK LIST completed
		C: A09 LIST "" ("INBOX" "Fruit/%")
		S: * LIST (\HasNoChildren) "/" INBOX
		S: * LIST (\HasNoChildren) "/" Fruit/Apple
		S: * LIST (\HasNoChildren) "/" Fruit/Banana
		S: A09 OK LIST completed
		C: A10 LIST (RECURSIVEMATCH) "" "%"
		S: A10 BAD RECURSIVEMATCH needs another selection option
		C: A11 LIST (NONSENSE) "" "%"
		S: A11 BAD unknown selection option
		C: A12 LIST "" "%" RETURN (NONSENSE)
		S: A12 BAD unknown return option
		C: A13 LIST "" "%" NONSENSE
		S: A13 BAD expected RETURN
		C: A14 LIST "" (` + strings.TrimSuffix(strings.Repeat("a ", 101), " ") + `)
		S: A14 BAD too many patterns
		C: A15 LIST "" "` + strings.Repeat("*a", 1001) + `"
		S: A15 BAD too many patterns
		C: A16 LSUB "" "` + strings.Repeat("*a", 1001) + `"
		S: A16 BAD too many patterns
		C: A17 LIST "" "` + strings.Repeat("*a", 1000) + `"
		S: A17 OK LIST completed
	`)
}

// RFC 5258 §5 example 9, without what §3.5 calls redundant.
func TestListChildInfo(t *testing.T) {
	t.Parallel()
	c := start(t, nil).login()
	c.do("x CREATE foo2")
	for _, name := range []string{"foo2/bar1", "foo2/bar2", "baz2/bar2", "baz2/bar22", "baz2/bar222", "eps2", "eps2/mamba", "qux2/bar2"} {
		c.do("x CREATE " + name)
		c.do("x SUBSCRIBE " + name)
	}
	c.Talk(`
		C: a LIST (RECURSIVEMATCH SUBSCRIBED) "" "*2"
		S: * LIST (\HasNoChildren \Subscribed) "/" baz2/bar2
		S: * LIST (\HasNoChildren \Subscribed) "/" baz2/bar22
		S: * LIST (\HasNoChildren \Subscribed) "/" baz2/bar222
		S: * LIST (\HasChildren \Subscribed) "/" eps2 ("CHILDINFO" ("SUBSCRIBED"))
		S: * LIST (\HasChildren) "/" foo2 ("CHILDINFO" ("SUBSCRIBED"))
		S: * LIST (\HasNoChildren \Subscribed) "/" foo2/bar2
		S: * LIST (\HasNoChildren \Subscribed) "/" qux2/bar2
		S: a OK LIST completed
		C: b LIST (RECURSIVEMATCH SUBSCRIBED) "" (eps2 eps2/*)
		S: * LIST (\HasChildren \Subscribed) "/" eps2
		S: * LIST (\HasNoChildren \Subscribed) "/" eps2/mamba
		S: b OK LIST completed
		C: c LIST (SUBSCRIBED) "" "%"
		S: * LIST (\HasChildren \Subscribed) "/" eps2
		S: c OK LIST completed
	`)
}

func TestListPatterns(t *testing.T) {
	t.Parallel()
	fixture(t).Talk(`
		C: a LIST "" ""
		S: * LIST (\Noselect) "/" ""
		S: a OK LIST completed
		C: a LIST Fruit/ ""
		S: * LIST (\Noselect) "/" ""
		S: a OK LIST completed
		C: b LIST Fruit/ %
		S: * LIST (\HasNoChildren) "/" Fruit/Apple
		S: * LIST (\HasNoChildren) "/" Fruit/Banana
		S: b OK LIST completed
		C: c LIST "" iNb%
		S: * LIST (\HasNoChildren) "/" INBOX
		S: c OK LIST completed
		C: d LIST "" f%
		S: d OK LIST completed
		C: e LIST "" *C*r*n
		S: * LIST (\HasNoChildren) "/" Vegetable/Corn
		S: e OK LIST completed
		C: f LIST "" %/%i
		S: * LIST (\HasNoChildren) "/" Vegetable/Broccoli
		S: f OK LIST completed
		C: g LIST "" {5+}
		C: Tofu*
		S: * LIST (\HasNoChildren) "/" Tofu
		S: g OK LIST completed
		C: h LIST ""
		S: h BAD expected a space
	`)
}

// RFC 9051 §5.1: INBOX is INBOX in any case, in front of a delimiter too; other names differ by case.
func TestInboxInAnyCase(t *testing.T) {
	t.Parallel()
	c := start(t, nil).login()
	c.Talk(`
		C: a CREATE inbox/Work
		S: a OK CREATE completed
		C: b CREATE Inboxes
		S: b OK CREATE completed
		C: c LIST "" inbox*
		S: * LIST (\HasChildren) "/" INBOX
		S: * LIST (\HasNoChildren) "/" INBOX/Work
		S: c OK LIST completed
		C: d LIST "" Inbox/%
		S: * LIST (\HasNoChildren) "/" INBOX/Work
		S: d OK LIST completed
		C: e LIST "" %nBo%/W*
		S: * LIST (\HasNoChildren) "/" INBOX/Work
		S: e OK LIST completed
		C: f LIST inbox/ work
		S: f OK LIST completed
		C: g LIST "" INBOX%s
		S: g OK LIST completed
	`)
	c.do("h SELECT inbox/Work")
	c.Talk(`
		C: i STATUS iNbOx/Work (MESSAGES)
		S: * STATUS INBOX/Work (MESSAGES 0)
		S: i OK STATUS completed
		C: j DELETE INbox/Work
		S: j OK DELETE completed
		C: k CHECK
		S: k BAD Select a mailbox first
	`)
}

// RFC 3501 §6.3.9: LSUB "%" shows the level above a subscribed mailbox.
func TestLsub(t *testing.T) {
	t.Parallel()
	fixture(t).Talk(`
		C: a LSUB "" *
		S: * LSUB () "/" INBOX
		S: * LSUB () "/" Fruit/Banana
		S: * LSUB (\Noselect) "/" Fruit/Peach
		S: * LSUB () "/" Vegetable
		S: * LSUB () "/" Vegetable/Broccoli
		S: a OK LSUB completed
		C: b LSUB "" %
		S: * LSUB () "/" INBOX
		S: * LSUB (\Noselect) "/" Fruit
		S: * LSUB () "/" Vegetable
		S: b OK LSUB completed
		C: c UNSUBSCRIBE Vegetable
		S: c OK UNSUBSCRIBE completed
		C: d LSUB "Veg" "etable/*"
		S: * LSUB () "/" Vegetable/Broccoli
		S: d OK LSUB completed
		C: e SUBSCRIBE
		S: e BAD expected a space
	`)
}

func TestListStatus(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.put(mail("one"), mail("two"))
	c := w.login()
	c.do("x CREATE a/b")
	c.Talk(`
		C: a LIST "" % RETURN (STATUS (MESSAGES UNSEEN))
		S: * LIST (\HasNoChildren) "/" INBOX
		S: * STATUS INBOX (MESSAGES 2 UNSEEN 2)
		S: * LIST <> "/" a
		S: a OK LIST completed
		C: b LIST "" % RETURN (STATUS ())
		S: b BAD expected a STATUS item
	`)
}

// RFC 3501 §6.3.10, RFC 8438, RFC 7889.
func TestStatus(t *testing.T) {
	t.Parallel()
	w := start(t, func(s *imapd.Server) { s.MaxAppendSize = 1000 })
	w.put(mail("one"), mail("two"))
	w.login().Talk(`
		C: a STATUS inbox (UIDNEXT MESSAGES recent UNSEEN SIZE APPENDLIMIT MESSAGES)
		S: * STATUS INBOX (UIDNEXT 3 MESSAGES 2 RECENT 2 UNSEEN 2 SIZE 118 APPENDLIMIT 1000)
		S: a OK STATUS completed
		C: b STATUS nowhere (MESSAGES)
		S: b NO [NONEXISTENT] No such mailbox
		C: c STATUS INBOX ()
		S: c BAD expected a STATUS item
		C: d STATUS INBOX (NONSENSE)
		S: d BAD unknown STATUS item
		C: e STATUS INBOX MESSAGES
		S: e BAD expected "("
	`)
}

// plainStore has no more than the Store interface asks for.
type plainStore struct{ mailbox.Store }

// plainBox has no more than the Mailbox interface asks for.
type plainBox struct{ mailbox.Mailbox }

func (s plainStore) Open(ctx context.Context, name string) (mailbox.Mailbox, error) {
	box, err := s.Store.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return plainBox{box}, nil
}

func TestStoreWithoutOptionalAbilities(t *testing.T) {
	t.Parallel()
	var w *world
	w = start(t, func(s *imapd.Server) {
		s.Store = func(context.Context, mailbricks.Identity) (mailbox.Store, error) {
			return plainStore{w.store()}, nil
		}
	})
	w.put(mail("one"))
	c := w.login()
	for _, command := range []string{"CREATE x", "DELETE x", "RENAME x y", "SUBSCRIBE x", "UNSUBSCRIBE x"} {
		require.Equal(t, []string{"a NO [CANNOT] Mailboxes cannot be changed here"}, c.do("a "+command))
	}
	lines := c.do("b SELECT INBOX")
	require.Contains(t, lines, "* 0 RECENT")
	require.Contains(t, lines, "* 1 EXISTS")
	w.put(mail("two"))
	require.Equal(t, []string{"* 2 EXISTS", "* 0 RECENT", "c OK NOOP completed"}, c.do("c NOOP"))
}
