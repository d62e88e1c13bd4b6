package smtpd

import (
	"encoding/json"
	"log/slog"
)

// MarshalText gives the phase's name, as String does.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// MarshalText gives the action's name, as String does.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// LogValue gives what the log has of an outcome: short values, and of the session and the transaction no more than who they are.
func (o Outcome) LogValue() slog.Value { return slog.GroupValue(o.attrs()...) }

// MarshalJSON gives an object with what the log has of an outcome, under the same names; all values are strings.
func (o Outcome) MarshalJSON() ([]byte, error) {
	fields := make(map[string]string)
	for _, attr := range o.attrs() {
		fields[attr.Key] = attr.Value.String()
	}
	if o.Session == nil || !o.Session.Peer.Addr.IsValid() {
		fields["peer"] = ""
	}
	return json.Marshal(fields)
}
