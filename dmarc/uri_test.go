package dmarc_test

import (
	"net/mail"
	"strings"
	"testing"

	"github.com/mailbricks/mailbricks/dmarc"
	"github.com/stretchr/testify/require"
)

func TestMailAddress(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"mailto:dmarc@example.com":                         "dmarc@example.com",
		"MAILTO:Dmarc@EXAMPLE.com.":                        "Dmarc@example.com",
		"mailto:dmarc%2Breports@example.com":               "dmarc+reports@example.com",
		"mailto:a%21b@example.com":                         "a!b@example.com",
		"mailto:%C3%BC@b%C3%BCcher.example":                "ü@xn--bcher-kva.example",
		"mailto:a@example.com?subject=x&body=y":            "a@example.com",
		"mailto:a@example.com#x":                           "a@example.com",
		"mailto:" + strings.Repeat("x", 64) + "@a.example": strings.Repeat("x", 64) + "@a.example",
		"mailto:" + strings.Repeat("x", 65) + "@a.example": "",
		"mailto:a@" + strings.Repeat("x", 64) + ".example": "",
		"":                             "",
		"mailto":                       "",
		"mailto:":                      "",
		"mailto:?to=a@example.com":     "",
		"mailto:a":                     "",
		"mailto:@example.com":          "",
		"mailto:a@":                    "",
		"mailto:a@b..com":              "",
		"mailto://a@example.com":       "",
		"mailto:a%40b@example.com":     "",
		"mailto:a@example.com,b@x.com": "",
		"mailto:a@x.com%2Cb@x.com":     "",
		"mailto:a%0D%0ARCPT@x.com":     "",
		"mailto:a%00@x.com":            "",
		"mailto:a@x.com%0D%0A":         "",
		"mailto:a%20b@x.com":           "",
		"mailto:a%C2%85b@x.com":        "",
		"mailto:%FF@x.com":             "",
		"mailto:%22a%22@x.com":         "",
		"mailto:a%3E@x.com":            "",
		"mailto:a%zz@x.com":            "",
		"mailto:.a@x.com":              "",
		"mailto:a@[192.0.2.1]":         "",
		"mailto: a@x.com":              "",
		"mailto:ü@x.com":               "",
		"https://example.com/a@b":      "",
		"xmailto:a@example.com":        "",
	} {
		got, ok := dmarc.MailAddress(uri)
		require.Equal(t, want, got, "%q", uri)
		require.Equal(t, want != "", ok, "%q", uri)
	}
}

func FuzzMailAddress(f *testing.F) {
	f.Add("mailto:a%2Bb@example.com?subject=x")
	f.Add("mailto:%C3%BC@b%C3%BCcher.example!10m")
	f.Fuzz(func(t *testing.T, uri string) {
		address, ok := dmarc.MailAddress(uri)
		if !ok {
			return
		}
		a, err := mail.ParseAddress("<" + address + ">")
		if err != nil || a.Address != address {
			t.Fatalf("%q from %q is read as %v, %v", address, uri, a, err)
		}
	})
}
