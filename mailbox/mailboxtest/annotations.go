package mailboxtest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

// annotator gives the store as one that keeps annotations, or skips the test.
func (w *world) annotator() mailbox.Annotator {
	w.Helper()
	a, ok := w.store.(mailbox.Annotator)
	if !ok {
		w.Skip("the store is no mailbox.Annotator")
	}
	return a
}

// annotate sets pairs of an entry and a value.
func (w *world) annotate(name string, pairs ...string) {
	w.Helper()
	var changes []mailbox.Annotation
	for i := 0; i < len(pairs); i += 2 {
		changes = append(changes, mailbox.Annotation{Entry: pairs[i], Value: []byte(pairs[i+1])})
	}
	require.NoError(w, w.annotator().Annotate(w.ctx, name, changes))
}

// annotated requires the annotations of a mailbox to be these pairs, in this order.
func (w *world) annotated(name string, pairs ...string) {
	w.Helper()
	got, err := w.annotator().Annotations(w.ctx, name)
	require.NoError(w, err)
	flat := []string{}
	for _, a := range got {
		require.NotNil(w, a.Value, a.Entry)
		flat = append(flat, a.Entry, string(a.Value))
	}
	require.Equal(w, append([]string{}, pairs...), flat, "of %q", name)
}

const (
	comment = "/private/comment"
	shared  = "/shared/vendor/x-tests/color"
)

func testAnnotations(w *world) {
	w.begin()
	a := w.annotator()
	w.annotated("")
	w.annotated(mailbox.Inbox)
	w.annotate(mailbox.Inbox, shared, "red", comment, "of INBOX")
	w.annotate("", comment, "of the account")
	w.annotated("inbox", comment, "of INBOX", shared, "red")
	w.annotated("", comment, "of the account")

	// Any octets, none, another case of the name, and taken off.
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	w.annotate(mailbox.Inbox, "/PRIVATE/Comment", string(all), "/private/empty", "")
	w.annotated(mailbox.Inbox, comment, string(all), "/private/empty", "", shared, "red")
	require.NoError(w, a.Annotate(w.ctx, mailbox.Inbox, []mailbox.Annotation{
		{Entry: "/private/EMPTY"}, {Entry: "/private/never"}, {Entry: shared, Value: []byte("blue")},
	}))
	w.annotated(mailbox.Inbox, comment, string(all), shared, "blue")
	require.NoError(w, a.Annotate(w.ctx, mailbox.Inbox, nil))
	w.annotated(mailbox.Inbox, comment, string(all), shared, "blue")

	// What the caller does with its slice later, or with what it got, is its own affair.
	value := []byte("mine")
	require.NoError(w, a.Annotate(w.ctx, mailbox.Inbox, []mailbox.Annotation{{Entry: comment, Value: value}}))
	value[0] = 'x'
	got, err := a.Annotations(w.ctx, mailbox.Inbox)
	require.NoError(w, err)
	got[0].Value[0] = 'y'
	w.annotated(mailbox.Inbox, comment, "mine", shared, "blue")

	for _, name := range []string{"t-none", "t-a//b", "../x", "\x00"} {
		_, err := a.Annotations(w.ctx, name)
		require.ErrorIs(w, err, mailbox.ErrNoMailbox, "%q", name)
		err = a.Annotate(w.ctx, name, []mailbox.Annotation{{Entry: comment, Value: []byte("x")}})
		require.ErrorIs(w, err, mailbox.ErrNoMailbox, "%q", name)
	}
	w.restart()
	w.annotated(mailbox.Inbox, comment, "mine", shared, "blue")
	w.annotated("", comment, "of the account")
}

func testAnnotationLimits(w *world) {
	w.begin()
	a := w.annotator()
	w.annotate(mailbox.Inbox, comment, "kept")
	for _, entry := range []string{
		"", "/", "comment", "/private", "/private/", "/shared/", "/other/comment", "private/comment", "/private//x", "/private/x/",
		"/private/a*b", "/private/%", "/private/a\x00b", "/private/a\nb", "/private/a\r\nb", "/private/a\tb", "/private/ä",
		"/private/\xff", "/private/\x7f", "/private/" + strings.Repeat("x", mailbox.MaxEntry),
	} {
		err := a.Annotate(w.ctx, mailbox.Inbox, []mailbox.Annotation{
			{Entry: comment, Value: []byte("lost")}, {Entry: "/private/good", Value: []byte("x")}, {Entry: entry, Value: []byte("x")},
		})
		require.ErrorIs(w, err, mailbox.ErrAnnotation, "%q", entry)
		w.annotated(mailbox.Inbox, comment, "kept") // all or none
	}
	// Names that a store may stumble over.
	for _, entry := range []string{"/private/..", "/private/../../x", "/private/a b", "/shared/'\"\\;--", "/private/.", "/private/a=b:c"} {
		w.annotate(mailbox.Inbox, entry, "value of "+entry)
		w.annotated(mailbox.Inbox, append([]string{}, sortedPairs(comment, "kept", entry, "value of "+entry)...)...)
		require.NoError(w, a.Annotate(w.ctx, mailbox.Inbox, []mailbox.Annotation{{Entry: entry}}))
	}

	// As much as every store has to take.
	long := "/private/" + strings.Repeat("e", mailbox.MaxEntry-len("/private/"))
	large := string(bytes.Repeat([]byte{0, 0xff, '\r', '\n'}, mailbox.MaxAnnotation/4))
	w.annotate(mailbox.Inbox, long, large)
	w.annotated(mailbox.Inbox, comment, "kept", long, large)
	var many []mailbox.Annotation
	for n := range mailbox.MaxAnnotations - 2 {
		many = append(many, mailbox.Annotation{Entry: fmt.Sprintf("/shared/n%03d", n), Value: []byte("x")})
	}
	require.NoError(w, a.Annotate(w.ctx, mailbox.Inbox, many))
	got, err := a.Annotations(w.ctx, mailbox.Inbox)
	require.NoError(w, err)
	require.Len(w, got, mailbox.MaxAnnotations)
	// One too many, or too long, is refused as a whole or taken.
	for _, c := range []mailbox.Annotation{
		{Entry: "/shared/one-more", Value: []byte("x")},
		{Entry: comment, Value: []byte(large + "x")},
	} {
		err := a.Annotate(w.ctx, mailbox.Inbox, []mailbox.Annotation{{Entry: "/shared/n000", Value: []byte("new")}, c})
		if err != nil {
			require.ErrorIs(w, err, mailbox.ErrAnnotation)
			after, err := a.Annotations(w.ctx, mailbox.Inbox)
			require.NoError(w, err)
			require.Equal(w, got, after, "all or none")
		}
	}
	require.NoError(w, a.Annotate(w.ctx, mailbox.Inbox, []mailbox.Annotation{
		{Entry: "/shared/n001"}, {Entry: "/shared/in-its-place", Value: []byte("x")},
	}), "one goes and one comes")
}

// sortedPairs puts two pairs into the order of their entries.
func sortedPairs(a, x, b, y string) []string {
	if b < a {
		return []string{b, y, a, x}
	}
	return []string{a, x, b, y}
}

// testAnnotationsOfMany has annotations go with their mailboxes and with no others.
func testAnnotationsOfMany(w *world) {
	w.begin()
	a := w.annotator()
	o := w.organizer()
	w.create("t-a", "t-a/b", "t-c")
	w.annotate("t-a", comment, "of a")
	w.annotate("t-a/b", comment, "of b")
	w.annotate("", comment, "of the account")
	w.annotated("t-c")
	w.annotated(mailbox.Inbox)
	require.NoError(w, o.Rename(w.ctx, "t-a", "t-new"))
	w.annotated("t-new", comment, "of a")
	w.annotated("t-new/b", comment, "of b")
	_, err := a.Annotations(w.ctx, "t-a")
	require.ErrorIs(w, err, mailbox.ErrNoMailbox)
	w.create("t-a")
	w.annotated("t-a")

	require.NoError(w, o.Delete(w.ctx, "t-new"))
	w.annotated("t-new/b", comment, "of b")
	if w.list()["t-new"].NoSelect {
		_, err = a.Annotations(w.ctx, "t-new")
		require.ErrorIs(w, err, mailbox.ErrNoMailbox, "a level alone has none")
	}
	w.create("t-new")
	w.annotated("t-new")
	w.annotate(mailbox.Inbox, comment, "of INBOX")
	require.NoError(w, o.Rename(w.ctx, mailbox.Inbox, "t-inbox"))
	w.annotated(mailbox.Inbox, comment, "of INBOX")
	w.restart()
	w.annotated("t-new/b", comment, "of b")
	w.annotated("t-new")
	w.annotated("", comment, "of the account")
}
