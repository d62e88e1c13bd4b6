package mailboxtest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/mailbox/mailboxtest"
)

// bugs are what the contract test has to find. Each is a small thing that a store may really do wrong.
func bugs() []bug {
	seen := func(f func(*box) *lens) func(*box) allOfBox { return func(b *box) allOfBox { return f(b) } }
	return []bug{
		{name: "now and then a flag is told and not set", parts: []string{"Clients", "Model"},
			box: func(b *box) allOfBox { return &lostFlag{b} }},
		{name: "UnchangedSince is not looked at", parts: []string{"UnchangedSince", "Clients", "Model"},
			box: func(b *box) allOfBox { return &heedless{b} }},
		{name: "flags are read, changed and written in three steps", parts: []string{"Clients"},
			box: func(b *box) allOfBox { return &racyFlags{b} }},
		{name: "a move is a copy and an expunge", parts: []string{"MoveAtWork", "Clients"},
			box: func(b *box) allOfBox { return &racyMove{b} }},
		{name: "a UID is used again", parts: []string{"UIDs", "Clients", "Model"},
			box: func(b *box) allOfBox { return &reusing{b} }},
		{name: "UIDNEXT is one more than the last message", parts: []string{"UIDs", "Model"},
			box: seen(func(b *box) *lens { return &lens{box: b, status: lastPlusOne(b)} })},
		{name: "messages in the change log have the modseq of the mailbox", parts: []string{"Changes", "Clients", "Model"},
			box: func(b *box) allOfBox { return &wrongModSeq{b} }},
		{name: "a change of flags gives no new modseq", parts: []string{"Flags", "ChangesOfMany", "Follow", "Clients", "Model"},
			box: seen(func(b *box) *lens { return &lens{box: b, meta: standsStill(b)} })},
		{name: "modseqs go back at a restart", parts: []string{"Restart", "Model"},
			restart: func(a *account) { a.count("restarts") },
			box:     func(b *box) allOfBox { return &goesBack{b} }},
		{name: "some expunged messages are not in the change log", parts: []string{"ChangesOfMany", "Clients", "Model", "Order"},
			box: func(b *box) allOfBox { return &missedExpunge{b} }},
		{name: "what was expunged comes back in the change log", parts: []string{"Clients", "Model"},
			box: func(b *box) allOfBox { return &ghost{b} }},
		{name: "a copy is made twice", parts: []string{"Copy", "Clients", "Model"},
			box: func(b *box) allOfBox { return &doubled{b} }},
		{name: "copies as many as there is room for", parts: []string{"Quota", "QuotaOfMessages"},
			box: func(b *box) allOfBox { return &halfCopy{b} }},
		{name: "expunges the next one if that is gone", parts: []string{"Expunge", "Model", "Clients"},
			box: func(b *box) allOfBox { return &neighbour{b} }},
		{name: "a short message is stored", parts: []string{"AppendRefused"},
			box: func(b *box) allOfBox { return &shortAppend{b} }},
		{name: "what is open cannot be read any more once it is expunged", parts: []string{"Expunge", "Move", "DeleteWhileOpen"},
			box: func(b *box) allOfBox { return &cutContent{b} }},
		{name: "unseen messages are counted wrong", parts: []string{"Clients", "Model"},
			box: seen(func(b *box) *lens {
				return &lens{box: b, status: func(st *mailbox.Status) { st.Unseen = st.Messages - st.Unseen }}
			})},
		{name: "keywords are told in lower case only", parts: []string{"Append", "Keywords"},
			box: seen(func(b *box) *lens { return &lens{box: b, meta: lowerCase} })},
		{name: "save dates are copied", parts: []string{"SaveDates"}, box: func(b *box) allOfBox { return &oldDate{b} }},
		{name: "the save date is the internal date", parts: []string{"SaveDates"},
			box: seen(func(b *box) *lens {
				return &lens{box: b, meta: func(m *mailbox.Meta) { m.SaveDate = m.InternalDate }}
			})},
		{name: "UIDVALIDITY is that of the last mailbox of the name", parts: []string{"Validities", "Delete", "Model"},
			box: seen(func(b *box) *lens { return &lens{box: b, status: sameValidity(b)} })},
		{name: "the id is the name", parts: []string{"IDs", "Model"},
			store: func(s *session) everything { return &namedIDs{s} },
			box: seen(func(b *box) *lens {
				return &lens{box: b, status: func(st *mailbox.Status) { st.ID = idOfName(b.name) }}
			})},
		{name: "renaming loses a mailbox below", parts: []string{"Rename", "Model", "IDs"},
			store: func(s *session) everything { return &losesChild{s} }},
		{name: "deleting takes the subscription", parts: []string{"Subscriptions", "Model"},
			store: func(s *session) everything { return &unsubscribes{s} }},
		{name: "the special use of the second mailbox is forgotten", parts: []string{"SpecialUse"},
			store: func(s *session) everything { return &oneUse{s} }},
		{name: "quota is not given back by expunging", parts: []string{"QuotaUsed", "Model"},
			store: func(s *session) everything { return &fullForEver{s} },
			box:   func(b *box) allOfBox { return &countedExpunge{b} }},
		{name: "the number of messages is not limited", parts: []string{"QuotaOfMessages", "Model"},
			limit: func(l mailbox.Limit) mailbox.Limit { return mailbox.Limit{Octets: l.Octets} }},
		{name: "a mailbox has the annotations of the one above it", parts: []string{"AnnotationsOfMany", "Model"},
			store: func(s *session) everything { return &inherits{s} }},
		{name: "annotations are set until one cannot be", parts: []string{"AnnotationLimits"},
			store: func(s *session) everything { return &oneByOne{s} }},
		{name: "summaries are those of the first message", parts: []string{"Summaries"},
			box: func(b *box) allOfBox { return &oneSummary{b} }},
		{name: "nobody is woken when flags change", parts: []string{"Watch"},
			box: func(b *box) allOfBox { return &sleepy{b} }},
		{name: "a watch goes on after its stop", parts: []string{"Watch"},
			box: func(b *box) allOfBox { return &restless{b} }},
		{name: "of two mailboxes that changed the watch names one", parts: []string{"WatchAccount"},
			store: func(s *session) everything { return &forgetful{s} }},
		{name: "the name of INBOX is taken as it is written", parts: []string{"Inbox"},
			store: func(s *session) everything { return &exactNames{s} }},
		{name: "a NUL ends a message", parts: []string{"ManyForms"}, box: func(b *box) allOfBox { return &cString{b} }},
		{name: "what exists can be created", parts: []string{"Create", "Model"},
			store: func(s *session) everything { return &createsAgain{s} }},
		{name: "control characters are taken out of names", parts: []string{"Names"},
			store: func(s *session) everything { return &cleaned{s} }},
		{name: "who has a deleted mailbox open goes on with the new one", parts: []string{"DeleteWhileOpen"},
			box: func(b *box) allOfBox { return &byName{b} }},
		{name: "renaming INBOX takes what is below it along", parts: []string{"RenameInbox"},
			store: func(s *session) everything { return &wholeInbox{s} }},
		{name: "an empty annotation is none", parts: []string{"Annotations"},
			store: func(s *session) everything { return &emptyIsNone{s} }},
		{name: "what is recent is so for everybody", parts: []string{"Recent"},
			box: func(b *box) allOfBox { return &alwaysRecent{b} }},
		{name: "the end of one session is that of all", parts: []string{"Sessions"},
			store: func(s *session) everything { return &endsAll{s} }},
		{name: "the UID of a new message is the last one there is", parts: []string{"Concurrent", "Clients"},
			box: func(b *box) allOfBox { return &guessedUID{b} }},
		{name: "a watch over the account is one over INBOX", parts: []string{"WatchAccount", "WatchAccountAtWork"},
			store: func(s *session) everything { return &inboxOnly{s} }},
		{name: "a vanished message is a failure of the store", parts: []string{"Vanished"},
			box: func(b *box) allOfBox { return &noFile{b} }},
		{name: "a move within a mailbox does nothing", parts: []string{"MoveWithin", "Model"},
			box: func(b *box) allOfBox { return &staysPut{b} }},
		{name: "the account is locked while a message is read", parts: []string{"SlowAppend"},
			box: func(b *box) allOfBox { return &lockedAppend{b} }},
		{name: "the quota is not looked at when a message is stored", parts: []string{"QuotaAtOnce"},
			limit: func(mailbox.Limit) mailbox.Limit { return mailbox.Limit{} },
			box:   func(b *box) allOfBox { return &earlyQuota{b} }},
		{name: "dates keep what is less than a second", parts: []string{"Append"},
			box: func(b *box) allOfBox { return &exactTime{b} }},
		{name: "the date of now has more than seconds", parts: []string{"Append"},
			box: func(b *box) allOfBox { return &exactNow{b} }},
		{name: "nobody is woken when the mailbox is deleted", parts: []string{"WatchDeleted"},
			box: func(b *box) allOfBox { return &quietEnd{b} }},
		{name: "only INBOX in capitals is a destination", parts: []string{"Copy", "Move"},
			box: func(b *box) allOfBox { return &exactDest{b} }},
		{name: "a power cut takes the last message", parts: []string{"Crash", "CrashAtWork"}, cut: loseLast},
		{name: "a power cut takes a flag", parts: []string{"Crash", "CrashAtWork"}, cut: loseFlag},
		{name: "after a power cut modseqs go back", parts: []string{"Crash", "CrashAtWork"},
			cut: func(a *account) { a.count("restarts") },
			box: func(b *box) allOfBox { return &goesBack{b} }},
	}
}

// A store without a bug passes each test in the same way in which the others fail.
func TestWithoutBugs(t *testing.T) {
	t.Parallel()
	for _, part := range mailboxtest.PartNames() {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			r := record(t, func(t testing.TB) { mailboxtest.RunPart(t, part, faulty(bug{})) })
			if r.Failed() || r.Skipped() {
				t.Errorf("%s", strings.Join(r.said, "\n"))
			}
		})
	}
}

// Each bug fails the tests that are meant to find it.
func TestBugs(t *testing.T) {
	t.Parallel()
	for _, b := range bugs() {
		for _, part := range b.parts {
			t.Run(b.name+"/"+part, func(t *testing.T) {
				t.Parallel()
				r := record(t, func(t testing.TB) { mailboxtest.RunPart(t, part, faulty(b)) })
				if !r.Failed() {
					t.Errorf("%s does not find that %s", part, b.name)
				} else if last := r.said[len(r.said)-1]; !strings.HasPrefix(last, part+" tests that ") {
					t.Errorf("%s does not say what it tests: %s", part, last)
				}
			})
		}
	}
}

// No test is without a bug that it finds.
func TestEveryTestCanFail(t *testing.T) {
	t.Parallel()
	found := map[string]bool{}
	for _, b := range bugs() {
		require.NotEmpty(t, b.parts, b.name)
		for _, part := range b.parts {
			found[part] = true
		}
	}
	for _, part := range mailboxtest.PartNames() {
		require.True(t, found[part], "there is no bug for %s", part)
	}
}

// childBug is the variable that says with which bug TestChild runs; it is empty in the test proper.
const childBug = "MAILBOXTEST_BUG"

// TestChild is what a store's own test looks like. Another test runs it in a process of its own.
func TestChild(t *testing.T) {
	name := os.Getenv(childBug)
	if name == "" {
		t.Skip("only for TestRun")
	}
	for _, b := range append(bugs(), bug{name: "none"}) {
		if b.name == name {
			mailboxtest.Run(t, faulty(b))
			return
		}
	}
	t.Fatalf("there is no bug %q", name)
}

// Run fails as a whole, and says which of its tests has failed, where the store has a bug.
func TestRun(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	for name, says := range map[string]string{
		"none":                            "PASS",
		"a UID is used again":             "--- FAIL: TestChild/UIDs",
		"a power cut takes a flag":        "--- FAIL: TestChild/Crash",
		"a move is a copy and an expunge": "--- FAIL: TestChild/MoveAtWork",
	} {
		child := exec.CommandContext(t.Context(), self, "-test.run=^TestChild$/^(UIDs|Crash|MoveAtWork)$")
		child.Env = append(os.Environ(), childBug+"="+name)
		out, err := child.CombinedOutput()
		require.Equal(t, name != "none", err != nil, "%s: %s", name, out)
		require.Equal(t, name == "none", !strings.Contains(string(out), "FAIL"), "%s: %s", name, out)
		require.Contains(t, string(out), says)
	}
}
