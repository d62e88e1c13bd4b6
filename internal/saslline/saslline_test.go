package saslline_test

import (
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/saslline"
)

func TestInitial(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		given bool
		want  []byte
		err   error
	}{
		{"", false, nil, nil},
		{"=", true, []byte{}, nil},
		{"AGE=", true, []byte("\x00a"), nil},
		{"", true, nil, saslline.ErrBase64},
		{"AGE", true, nil, saslline.ErrBase64},
		{"==", true, nil, saslline.ErrBase64},
		{"*", true, nil, saslline.ErrBase64},
	} {
		got, err := saslline.Initial(c.text, c.given)
		require.ErrorIs(t, err, c.err, c.text)
		require.Equal(t, c.want, got, c.text)
	}
}

type user string

// mechanism asks for two responses, sends a last challenge if last is one, and takes note of the responses.
type mechanism struct {
	last []byte
	got  []string
}

func (m *mechanism) next(response []byte) ([]byte, *user, error) {
	if response == nil {
		return []byte("one?"), nil, nil
	}
	m.got = append(m.got, string(response))
	if len(m.got) == 1 {
		return nil, nil, nil
	}
	return m.last, new(user("ann")), nil
}

// client answers challenges, in order.
type client struct {
	lines      []string
	challenges []string
}

func (c *client) ask(challenge string) (string, error) {
	c.challenges = append(c.challenges, challenge)
	if len(c.lines) == 0 {
		return "", io.ErrUnexpectedEOF
	}
	line := c.lines[0]
	c.lines = c.lines[1:]
	return line, nil
}

func TestExchange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		initial    []byte
		last       []byte
		lines      string
		challenges string
		got        string
		err        error
	}{
		"as it should be":           {nil, nil, "MQ== Mg==", "b25lPw== ", "1 2", nil},
		"with initial response":     {[]byte("1"), nil, "Mg==", "", "1 2", nil},
		"with an empty one":         {[]byte{}, nil, "Mg==", "", " 2", nil},
		"with a last challenge":     {[]byte("1"), []byte("sig"), "Mg== ", " c2ln", "1 2", nil},
		"with a last that is empty": {[]byte("1"), []byte{}, "Mg== ", " ", "1 2", nil},
		"which is answered":         {[]byte("1"), []byte("sig"), "Mg== Mw==", " c2ln", "1 2", saslline.ErrNotEmpty},
		"or cancelled":              {[]byte("1"), []byte("sig"), "Mg== *", " c2ln", "1 2", saslline.ErrCancelled},
		"cancelled at once":         {nil, nil, "*", "b25lPw==", "", saslline.ErrCancelled},
		"no base64":                 {nil, nil, "?", "b25lPw==", "", saslline.ErrBase64},
		"base64 and more":           {nil, nil, "MQ==MQ==", "b25lPw==", "", saslline.ErrBase64},
		"the equals sign":           {nil, nil, "=", "b25lPw==", "", saslline.ErrBase64},
		"an empty response":         {nil, nil, " Mg==", "b25lPw== ", " 2", nil},
		"the client leaves":         {nil, nil, "MQ==", "b25lPw== ", "1", io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, peer := &mechanism{last: c.last}, &client{lines: strings.Split(c.lines, " ")}
			id, err := saslline.Exchange(c.initial, m.next, peer.ask)
			require.ErrorIs(t, err, c.err)
			if c.err == nil {
				require.Equal(t, user("ann"), *id)
			} else {
				require.Nil(t, id)
			}
			require.Equal(t, c.challenges, strings.Join(peer.challenges, " "))
			require.Equal(t, c.got, strings.Join(m.got, " "))
		})
	}
}

func TestMechanismFails(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	fail := func([]byte) ([]byte, *user, error) { return []byte("x"), new(user), failed }
	id, err := saslline.Exchange(nil, fail, new(client).ask)
	require.Equal(t, failed, err)
	require.Nil(t, id)
}

func TestMaxChallenges(t *testing.T) {
	t.Parallel()
	n := 0
	endless := func([]byte) ([]byte, *user, error) { return []byte("more"), nil, nil }
	_, err := saslline.Exchange(nil, endless, func(string) (string, error) { n++; return "", nil })
	require.ErrorIs(t, err, saslline.ErrTooMany)
	require.Equal(t, saslline.MaxChallenges, n)
}

// FuzzInitial: what decodes is what was encoded, and a response is never nil, which would be none.
func FuzzInitial(f *testing.F) {
	for _, s := range []string{"", "=", "AGE=", "AGEA", "A\nGE=", "*", strings.Repeat("A", 12288)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := saslline.Initial(text, true)
		if err != nil {
			require.Nil(t, got)
			return
		}
		require.NotNil(t, got)
		again, err := saslline.Initial(base64.StdEncoding.EncodeToString(got), len(got) > 0)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
	})
}
