package mimetext_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimetext"
)

func TestBaseSubject(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]struct {
		base  string
		reply bool
	}{
		"":                            {"", false},
		"a":                           {"a", false},
		" a \t b ":                    {"a b", false},
		"Re: a":                       {"a", true},
		"RE : a":                      {"a", true},
		"fw: a":                       {"a", true},
		"FWD: a":                      {"a", true},
		"Re[2]: a":                    {"a", true},
		"re [x] : re: Fwd: a":         {"a", true},
		"[list] a":                    {"a", false},
		"[list] [more] Re: a":         {"a", true},
		"Re: [list] a":                {"a", true},
		"Re: [list] Re: a":            {"a", true},
		"a (fwd)":                     {"a", true},
		"a (FWD) (fwd) ":              {"a", true},
		"[Fwd: a]":                    {"a", true},
		"[fwd: [fwd: re: a (fwd)]]":   {"a", true},
		"[list] [fwd: a]":             {"a", true},
		"[a][b]":                      {"[b]", false},
		"[a]":                         {"[a]", false},
		"[]":                          {"[]", false},
		"[a [b] c":                    {"[a [b] c", false},
		"re":                          {"re", false},
		"rea: b":                      {"rea: b", false},
		"Re:":                         {"", true},
		"(fwd)":                       {"", true},
		"=?utf-8?q?Re=3A_=C3=A4?=  b": {"ä b", true},
		"[fwd:":                       {"[fwd:", false},
		"[fwd:]":                      {"", true},
	} {
		base, reply := mimetext.BaseSubject(subject)
		require.Equal(t, want.base, base, "%q", subject)
		require.Equal(t, want.reply, reply, "%q", subject)
	}
}
