package arc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

func FuzzVerify(f *testing.F) {
	z := new(zone)
	for _, n := range []int{1, 2, 3} {
		f.Add(forge(z, f, n).use(f, z, ed25519Key(), "ed25519-sha256").message(f))
	}
	f.Add(message)
	f.Add(exampleB)
	f.Add(manySets(3) + message)
	f.Add("ARC-Seal: i=1; cv=fail\r\nARC-Message-Signature: i = (c) 1 ;\nARC-Authentication-Results:i=50;\"a\\\"\";")
	f.Fuzz(func(t *testing.T, m string) {
		z := &zone{records: z.records}
		r := verify(t, z, m)
		switch r.Status {
		case arc.None:
			require.Equal(t, arc.Result{Status: arc.None}, r)
		case arc.Pass:
			require.NoError(t, r.Err)
			require.NotEmpty(t, r.Sets)
			require.Less(t, r.OldestPass, len(r.Sets)+1)
		case arc.Fail:
			require.Error(t, r.Err)
		default:
			t.Fatalf("status %q", r.Status)
		}
		require.LessOrEqual(t, len(r.Sets), arc.MaxSets)
		require.LessOrEqual(t, len(z.asked), 2*arc.MaxSets)
		for _, s := range r.Sets {
			requireClean(t, s.AuthServID, s.Results, string(s.CV), s.Seal.Domain, s.Seal.Selector, s.Seal.Algorithm)
			requireClean(t, s.MessageSignature.Domain, s.MessageSignature.Selector, s.MessageSignature.Algorithm)
		}
		if r.Err != nil {
			requireClean(t, r.Err.Error())
		}
	})
}

func requireClean(t *testing.T, texts ...string) {
	for _, s := range texts {
		require.False(t, strings.ContainsAny(s, "\r\n\x00\x7f"), "%q", s)
	}
}

// What a sealer makes of any message and results is one set, and the chain passes or is marked as failed.
func FuzzSeal(f *testing.F) {
	z := new(zone)
	s := newSealer(f, z, "lists.example")
	s.Key = ed25519Key()
	z.publish(f, s.Key, s.Domain, s.Selector)
	f.Add(message, "spf=pass smtp.mailfrom=example.com", "mx.example", true)
	f.Add(forge(z, f, 2).use(f, z, ed25519Key(), "ed25519-sha256").message(f), "none; \r\nX: y", "a \"b\"", false)
	f.Add("From: a\n\nbody\n\n\n", "", "", false)
	f.Add("no field\r\nFrom : b\r\n x\r\n", "\xff\x00", "\\", false)
	f.Fuzz(func(t *testing.T, m, results, id string, sorted bool) {
		s := *s
		s.AuthServID, s.SortTags = id, sorted
		z := &zone{records: z.records}
		before := verify(t, z, m)
		set, err := s.Seal(strings.NewReader(m), before.Status, results)
		if err != nil {
			require.Empty(t, set)
			require.False(t, errors.Is(err, arc.ErrStatus), "a verifier's status is one of the message")
			return
		}
		if set == "" {
			require.Equal(t, arc.Fail, before.Status)
			return
		}
		require.Len(t, splitFields(set), 3)
		after := verify(t, z, set+m)
		if before.Status == arc.Fail {
			require.ErrorIs(t, after.Err, arc.ErrMarkedFail)
			return
		}
		require.NoError(t, after.Err)
		require.Len(t, after.Sets, len(before.Sets)+1)
	})
}
