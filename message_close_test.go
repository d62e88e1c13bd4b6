package mailbricks_test

import (
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
)

// sizes of messages that a Spool keeps in memory and in a file.
var bothPlaces = map[string]int{"memory": 100, "file": 300 << 10}

// Who clones a message after its end must not make its memory or file that of two others.
func TestCloneOfAClosedMessage(t *testing.T) {
	t.Parallel()
	for name, size := range bothPlaces {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spool := &mailbricks.Spool{Dir: t.TempDir()}
			read := func(c string) *mailbricks.Message {
				m, err := spool.Read(strings.NewReader("A: b\r\n\r\n" + strings.Repeat(c, size)))
				require.NoError(t, err)
				return m
			}
			m := read("x")
			require.NoError(t, m.Close())
			for range 3 {
				late := m.Clone()
				require.Equal(t, m.Size(), late.Size())
				_, err := io.ReadAll(late.Reader())
				require.ErrorIs(t, err, os.ErrClosed)
				require.NoError(t, late.Close())
				require.NoError(t, late.Close())
			}
			texts := []string{"a", "b", "c", "d"}
			messages := make([]*mailbricks.Message, len(texts))
			for i, c := range texts {
				messages[i] = read(c)
			}
			for i, c := range texts {
				require.Equal(t, "A: b\r\n\r\n"+strings.Repeat(c, size), text(t, messages[i]))
				require.NoError(t, messages[i].Close())
			}
		})
	}
}

// A closed message stays so while a clone of it lives, which is not harmed.
func TestCloneOfAClosedMessageWithALivingClone(t *testing.T) {
	t.Parallel()
	m := mailbricks.NewMessage([]byte("A: b\r\n\r\ntext"))
	living := m.Clone()
	require.NoError(t, m.Close())
	late := m.Clone()
	_, err := io.ReadAll(late.Body())
	require.ErrorIs(t, err, os.ErrClosed)
	require.NoError(t, late.Close())
	require.Equal(t, "A: b\r\n\r\ntext", text(t, living))
	require.NoError(t, living.Close())
}

// Close from many goroutines, also of clones and while there are new ones, gives all up once.
func TestCloseFromManyGoroutines(t *testing.T) {
	t.Parallel()
	const raw = "A: b\r\n\r\ntext"
	for range 100 {
		closed := 0
		m, err := new(mailbricks.Spool).Open(strings.NewReader(raw), int64(len(raw)), func() error { closed++; return nil })
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _ = m.Close() })
			wg.Go(func() { _ = m.Clone().Close() })
		}
		wg.Wait()
		require.Equal(t, 1, closed)
	}
}
