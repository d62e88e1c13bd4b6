package mailtest_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/mailtest"
)

func letter() *mailbricks.Message {
	return mailbricks.NewMessage([]byte("Subject: hello\r\n\r\nText\r\n"))
}

func envelope() *mailbricks.Envelope {
	return &mailbricks.Envelope{From: "a@example.com", Recipients: []mailbricks.Recipient{{Address: "b@example.com"}, {Address: "c@example.com"}}}
}

func TestInboxKeepsMessages(t *testing.T) {
	t.Parallel()
	var in mailtest.Inbox
	require.Empty(t, in.Messages())
	env := envelope()
	require.NoError(t, in.Handle(t.Context(), env, letter()))
	env.From = "changed@example.com"
	env.Recipients[0].Address = "changed@example.com"
	got := in.Messages()
	require.Len(t, got, 1)
	require.Equal(t, envelope(), got[0].Envelope)
	require.Equal(t, "Subject: hello\r\n\r\nText\r\n", string(got[0].Raw))
	require.Equal(t, "hello", got[0].Message.Get("Subject"))
	body, err := io.ReadAll(got[0].Message.Body())
	require.NoError(t, err)
	require.Equal(t, "Text\r\n", string(body))
}

func TestInboxWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var in mailtest.Inbox
		for i := range 3 {
			time.AfterFunc(time.Duration(i)*time.Hour, func() { _ = in.Handle(context.Background(), envelope(), letter()) })
		}
		began := time.Now()
		got, err := in.Wait(t.Context(), 2)
		require.NoError(t, err)
		require.Len(t, got, 2)
		require.Equal(t, time.Hour, time.Since(began))
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		got, err = in.Wait(ctx, 4)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, got, 3)
	})
}

func TestInboxFailsAsTold(t *testing.T) {
	t.Parallel()
	var in mailtest.Inbox
	full := &mailbricks.Reply{Code: 452, Enhanced: "4.2.2", Text: "Mailbox full"}
	in.Fail(func(env *mailbricks.Envelope, msg *mailbricks.Message) error {
		require.Equal(t, "hello", msg.Get("Subject"))
		return full
	})
	require.Same(t, full, in.Handle(t.Context(), envelope(), letter()))
	require.Empty(t, in.Messages())

	in.Fail(func(*mailbricks.Envelope, *mailbricks.Message) error { return mailbricks.Results{full, nil} })
	require.Equal(t, mailbricks.Results{full, nil}, in.Handle(t.Context(), envelope(), letter()))
	got := in.Messages()
	require.Len(t, got, 1)
	require.Equal(t, []mailbricks.Recipient{{Address: "c@example.com"}}, got[0].Envelope.Recipients)

	in.Fail(nil)
	require.NoError(t, in.Handle(t.Context(), envelope(), letter()))
	require.Len(t, in.Messages(), 2)
}
