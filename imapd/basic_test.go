package imapd_test

import (
	"testing"
)

// RFC 3501 §8, with the mailbox that this test has.
func TestSampleConnection(t *testing.T) {
	t.Parallel()
	w := start(t, nil)
	w.put("Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\n" +
		"From: Terry Gray <gray@cac.washington.edu>\n" +
		"Subject: IMAP4rev1 WG mtg summary and minutes\n" +
		"To: imap@cac.washington.edu\n" +
		"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\n" +
		"Message-Id: <B27397-0100000@cac.washington.edu>\n" +
		"MIME-Version: 1.0\n" +
		"Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\n\n" +
		"Hello.\n")
	c := w.dialRaw()
	c.Talk(`
		S: * OK [CAPABILITY IMAP4rev1 <>] mail.example.com IMAP server ready
		C: a001 login joe secret
		S: a001 OK [CAPABILITY <>] Logged in
		C: a002 select inbox
		S: * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
		S: * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted
		S: * 1 EXISTS
		S: * 1 RECENT
		S: * OK [UNSEEN 1] First unseen
		S: * OK [UIDVALIDITY <>] UIDs valid
		S: * OK [UIDNEXT 2] Predicted next UID
		S: a002 OK [READ-WRITE] SELECT completed
		C: a003 fetch 1 full
		S: * 1 FETCH (FLAGS (\Recent) INTERNALDATE "17-Jul-1996 02:44:25 -0700" RFC822.SIZE 350 ENVELOPE ("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) NIL NIL "<B27397-0100000@cac.washington.edu>") BODY ("TEXT" "PLAIN" ("CHARSET" "US-ASCII") NIL NIL "7bit" 8 1))
		S: a003 OK FETCH completed
		C: a004 fetch 1 body[header]
		S: * 1 FETCH (FLAGS (\Recent \Seen) BODY[HEADER] {342}
		S: Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
		S: From: Terry Gray <gray@cac.washington.edu>
		S: Subject: IMAP4rev1 WG mtg summary and minutes
		S: To: imap@cac.washington.edu
		S: cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
		S: Message-Id: <B27397-0100000@cac.washington.edu>
		S: MIME-Version: 1.0
		S: Content-Type: TEXT/PLAIN; CHARSET=US-ASCII
		S:
		S: )
		S: a004 OK FETCH completed
		C: a005 store 1 +flags \deleted
		S: * 1 FETCH (FLAGS (\Recent \Seen \Deleted))
		S: a005 OK STORE completed
		C: a006 logout
		S: * BYE Logging out
		S: a006 OK LOGOUT completed
	`)
	c.closed()
}
