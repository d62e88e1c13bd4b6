package maildir_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
	"github.com/mailbricks/mailbricks/maildir"
)

func annotations(t *testing.T, m *maildir.Maildir, name string) map[string]string {
	t.Helper()
	list, err := mustStore(t, m).(mailbox.Annotator).Annotations(t.Context(), name)
	require.NoError(t, err)
	out := map[string]string{}
	last := ""
	for _, a := range list {
		require.Greater(t, a.Entry, last)
		last, out[a.Entry] = a.Entry, string(a.Value)
	}
	return out
}

func TestAnnotations(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	s := mustStore(t, m)
	a := s.(mailbox.Annotator)
	set := func(name string, list ...mailbox.Annotation) error { return a.Annotate(t.Context(), name, list) }
	binary := string([]byte{0, 1, '\n', '\t', 0xff})
	require.Empty(t, annotations(t, m, "Archive"))
	require.NoError(t, set("Archive", mailbox.Annotation{Entry: "/private/Comment", Value: []byte("mine")},
		mailbox.Annotation{Entry: "/shared/vendor/x y", Value: []byte(binary)}, mailbox.Annotation{Entry: "/shared/empty", Value: []byte{}}))
	require.NoError(t, set("inbox", mailbox.Annotation{Entry: "/private/comment", Value: []byte("inbox")}))
	require.NoError(t, set("", mailbox.Annotation{Entry: "/private/comment", Value: []byte("account")}))
	want := map[string]string{"/private/comment": "mine", "/shared/vendor/x y": binary, "/shared/empty": ""}
	require.Equal(t, want, annotations(t, m, "Archive"))
	require.NoError(t, m.Close())
	m = newMaildir(t, m.Root, 0)
	s = mustStore(t, m)
	a = s.(mailbox.Annotator)
	require.Equal(t, want, annotations(t, m, "Archive"))
	require.Equal(t, map[string]string{"/private/comment": "inbox"}, annotations(t, m, "INBOX"))
	require.Equal(t, map[string]string{"/private/comment": "account"}, annotations(t, m, ""))

	// They go with their mailbox.
	o := s.(mailbox.Organizer)
	require.NoError(t, o.Rename(t.Context(), "Archive", "Old/Archive"))
	require.Equal(t, want, annotations(t, m, "Old/Archive"))
	_, err := a.Annotations(t.Context(), "Archive")
	require.ErrorIs(t, err, mailbox.ErrNoMailbox)
	require.ErrorIs(t, set("Old"), mailbox.ErrNoMailbox, "only a level")
	require.NoError(t, o.Delete(t.Context(), "Old/Archive"))
	require.NoError(t, o.Create(t.Context(), "Old/Archive", ""))
	require.Empty(t, annotations(t, m, "Old/Archive"))

	// Where there are none, there is no file.
	file := filepath.Join(m.Root, "example.com", "ann", "mailbricks-annotations")
	require.FileExists(t, file)
	require.NoError(t, set("INBOX", mailbox.Annotation{Entry: "/private/comment"}, mailbox.Annotation{Entry: "/private/none"}))
	require.NoFileExists(t, file)
	require.NoError(t, set("INBOX", mailbox.Annotation{Entry: "/private/none"}))
}

// All changes are made or none; the limits hold.
func TestAnnotationLimits(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	a := mustStore(t, m).(mailbox.Annotator)
	var most []mailbox.Annotation
	for n := range mailbox.MaxAnnotations {
		most = append(most, mailbox.Annotation{Entry: fmt.Sprintf("/private/%02d", n), Value: bytes.Repeat([]byte{'x'}, mailbox.MaxAnnotation)})
	}
	require.NoError(t, a.Annotate(t.Context(), "Archive", most))
	more := mailbox.Annotation{Entry: "/private/more", Value: []byte("x")}
	for _, bad := range [][]mailbox.Annotation{
		{{Entry: "/private/00"}, more, {Entry: "/private/more2", Value: []byte("x")}},
		{{Entry: "/private/00"}, {Entry: "/public/x", Value: []byte("x")}},
		{{Entry: "/private/00"}, {Entry: "/private/" + strings.Repeat("x", 300), Value: []byte("x")}},
		{{Entry: "/private/00"}, {Entry: "/private/01", Value: bytes.Repeat([]byte{'x'}, mailbox.MaxAnnotation+1)}},
		{more},
	} {
		require.ErrorIs(t, a.Annotate(t.Context(), "Archive", bad), mailbox.ErrAnnotation)
		require.Len(t, annotations(t, m, "Archive"), mailbox.MaxAnnotations)
	}
	require.NoError(t, a.Annotate(t.Context(), "Archive", []mailbox.Annotation{more, {Entry: "/private/00"}}), "as many as before")
}

func TestDamagedAnnotations(t *testing.T) {
	t.Parallel()
	m := newMaildir(t, t.TempDir(), 0)
	a := mustStore(t, m).(mailbox.Annotator)
	path := filepath.Join(m.Root, "example.com", "ann", ".Archive", "mailbricks-annotations")
	require.NoError(t, os.WriteFile(path, []byte("mailbricks-annotations 1\n/private/a\tYQ==\n/Private/b\tYQ==\n/private/c\t!\nx\n\n/private/d\tZA"), 0o600))
	require.Equal(t, map[string]string{"/private/a": "a"}, annotations(t, m, "Archive"))
	require.NoError(t, os.WriteFile(path, []byte("mailbricks-annotations 2\nx"), 0o600))
	_, err := a.Annotations(t.Context(), "Archive")
	require.ErrorContains(t, err, "newer version")
	require.ErrorContains(t, a.Annotate(t.Context(), "Archive", []mailbox.Annotation{{Entry: "/private/a", Value: []byte("x")}}), "newer version")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "mailbricks-annotations 2\nx", string(data), "left as it is")
}
