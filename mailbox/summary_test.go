package mailbox_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/mailbox"
)

func TestSummaryIsTheSameHoweverTheMessageComes(t *testing.T) {
	t.Parallel()
	const message = "From: joe@example.com\nSubject: a\n\nHello\n"
	data, err := mailbox.Summarize(strings.NewReader(message))
	require.NoError(t, err)
	require.NotEmpty(t, data)
	require.LessOrEqual(t, len(data), mailbox.MaxSummary)

	withCRLF, err := mailbox.Summarize(iotest.OneByteReader(strings.NewReader(strings.ReplaceAll(message, "\n", "\r\n"))))
	require.NoError(t, err)
	require.Equal(t, data, withCRLF)

	w := mailbox.NewSummaryWriter()
	_, err = io.Copy(io.MultiWriter(io.Discard, w), strings.NewReader(message))
	require.NoError(t, err)
	require.Equal(t, data, w.Data())
}

func TestSummarizeFailsWithItsReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	_, err := mailbox.Summarize(iotest.ErrReader(broken))
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "mailbox: ")
}
