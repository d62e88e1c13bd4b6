package smtpd_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/smtpd"
)

// An outcome is a short record in JSON and in a log, whatever it has of the session.
func TestOutcomeAsARecord(t *testing.T) {
	session := &smtpd.Session{ID: "S1", Peer: mailbricks.Peer{
		Addr: netip.MustParseAddrPort("203.0.113.9:4711"), Hello: "client.example.net", TLS: new(tls.ConnectionState),
		Identity: &mailbricks.Identity{Login: "ann"},
	}}
	o := smtpd.Outcome{
		ID: "M1", Session: session, Phase: smtpd.PhaseRcpt, Check: "users", Action: smtpd.ClosePeer, Recipient: "bob@example.com",
		Transaction: &smtpd.Transaction{Session: session, Envelope: &mailbricks.Envelope{ID: "M1", From: "a@example.net"}},
		Command:     "RCPT TO:<bob@example.com>", Reply: &mailbricks.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user"},
		Err: errors.New("database: \"down\""),
	}
	const want = `{"id":"M1", "peer":"203.0.113.9:4711", "hello":"client.example.net", "phase":"rcpt", "check":"users", "action":"close",
		"login":"ann", "from":"a@example.net", "to":"bob@example.com", "command":"RCPT TO:<bob@example.com>",
		"reply":"550 5.1.1 No such user", "err":"database: \"down\""}`
	encoded, err := json.Marshal(o)
	require.NoError(t, err)
	require.JSONEq(t, want, string(encoded))
	encoded, err = json.Marshal(map[string]any{"outcomes": []*smtpd.Outcome{&o}})
	require.NoError(t, err)
	require.JSONEq(t, `{"outcomes":[`+want+`]}`, string(encoded))
	var line bytes.Buffer
	slog.New(slog.NewJSONHandler(&line, nil)).Info("x", "outcome", o)
	var logged struct{ Outcome json.RawMessage }
	require.NoError(t, json.Unmarshal(line.Bytes(), &logged))
	require.JSONEq(t, want, string(logged.Outcome))

	encoded, err = json.Marshal(smtpd.Outcome{})
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"", "peer":"", "hello":"", "phase":"connect", "check":"", "action":"pass"}`, string(encoded))
}

func TestNamesInJSON(t *testing.T) {
	encoded, err := json.Marshal(map[smtpd.Phase]smtpd.Action{smtpd.PhaseAuth: smtpd.DiscardMail, 99: 99})
	require.NoError(t, err)
	require.JSONEq(t, `{"auth":"discard", "Phase(99)":"Action(99)"}`, string(encoded))
}
