package mailbricks_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
)

func envelope(rcpts ...string) *mailbricks.Envelope {
	env := &mailbricks.Envelope{From: "a@example.com"}
	for _, r := range rcpts {
		env.Recipients = append(env.Recipients, mailbricks.Recipient{Address: r})
	}
	return env
}

func TestRouteSplitsByDomain(t *testing.T) {
	t.Parallel()
	got := map[string][]string{}
	sink := func(name string, err error) mailbricks.Handler {
		return mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, msg *mailbricks.Message) error {
			for _, r := range env.Recipients {
				got[name] = append(got[name], r.Address)
			}
			msg.Prepend("Seen-By", name)
			return err
		})
	}
	full := &mailbricks.Reply{Code: 452, Text: "full"}
	local := func(domain string) bool { return domain == "here.test" }
	msg := mailbricks.NewMessage([]byte("A: 1\r\n\r\n"))
	env := envelope("x@there.test", "y@here.test", "postmaster", `"a@there.test"@here.test`)

	err := mailbricks.Route(local, sink("here", full), sink("there", nil)).Handle(t.Context(), env, msg)

	require.Equal(t, map[string][]string{
		"here":  {"y@here.test", "postmaster", `"a@there.test"@here.test`},
		"there": {"x@there.test"},
	}, got)
	require.Equal(t, mailbricks.Results{nil, full, full, full}, mailbricks.ResultsOf(err, 4))
	require.ErrorIs(t, err, full)
	require.Empty(t, msg.Get("Seen-By"), "each side edits a header of its own")
	require.Len(t, env.Recipients, 4)
}

func TestRouteTakesAllOrNothing(t *testing.T) {
	t.Parallel()
	never := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error {
		t.Error("called without recipients")
		return nil
	})
	taken := mailbricks.HandlerFunc(func(context.Context, *mailbricks.Envelope, *mailbricks.Message) error { return nil })
	all := func(string) bool { return true }
	require.NoError(t, mailbricks.Route(all, taken, never).Handle(t.Context(), envelope("a@b.test"), mailbricks.NewMessage(nil)))
}

func TestResultsOf(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	require.Equal(t, mailbricks.Results{nil, nil}, mailbricks.ResultsOf(nil, 2))
	require.Equal(t, mailbricks.Results{boom, boom}, mailbricks.ResultsOf(boom, 2))
	short := mailbricks.ResultsOf(mailbricks.Results{nil}, 2)
	require.NoError(t, short[0])
	require.True(t, mailbricks.IsTemporary(short[1]), "a missing result is never a success")
	require.Contains(t, mailbricks.Results{nil, boom}.Error(), "recipient 2: boom")
	require.NoError(t, mailbricks.Results{nil, nil}.Err())
	require.Equal(t, mailbricks.Results{nil, boom}, mailbricks.ResultsOf(fmt.Errorf("x: %w", mailbricks.Results{nil, boom}), 2))
	for _, err := range []error{
		errors.Join(mailbricks.Results{nil, nil}, boom), errors.Join(boom, mailbricks.Results{nil, nil}),
		fmt.Errorf("%w: %w", boom, mailbricks.Results{nil, nil}),
		&mailbricks.Reply{Code: 451, Err: mailbricks.Results{nil, nil}},
	} {
		require.Equal(t, mailbricks.Results{err, err}, mailbricks.ResultsOf(err, 2), "what is joined to results, or above them, is not lost")
	}
}

func TestSplitAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"a@b.test": {"a", "b.test"}, `"a@b"@c.test`: {`"a@b"`, "c.test"}, "postmaster": {"postmaster", ""}, "": {"", ""},
	} {
		local, domain := mailbricks.SplitAddress(in)
		require.Equal(t, want, [2]string{local, domain})
	}
}
