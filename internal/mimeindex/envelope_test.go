package mimeindex_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks/internal/mimeindex"
)

func envelope(t *testing.T, header string) string {
	t.Helper()
	return string(parse(t, crlf(header)).Envelope.Append(nil))
}

// TestEnvelopeOfRFC3501 is the example of RFC 3501 §8, with its message.
func TestEnvelopeOfRFC3501(t *testing.T) {
	t.Parallel()
	require.Equal(t, `("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes"`+
		` (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu"))`+
		` ((NIL NIL "imap" "cac.washington.edu")) ((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU"))`+
		` NIL NIL "<B27397-0100000@cac.washington.edu>")`,
		envelope(t, `Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)
From: Terry Gray <gray@cac.washington.edu>
Subject: IMAP4rev1 WG mtg summary and minutes
To: imap@cac.washington.edu
cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>
Message-Id: <B27397-0100000@cac.washington.edu>
MIME-Version: 1.0
Content-Type: TEXT/PLAIN; CHARSET=US-ASCII

`))
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ header, want string }{
		"nothing": {"\n", `(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)`},
		"all of it, byte for byte": {"Date: soon\nSubject: =?utf-8?q?a?=  b \n\t c\nFrom: a@b\nSender: c@d\nReply-To: e@f\nTo: g@h\nCc: i@j\nBcc: k@l\nIn-Reply-To: what you wrote\nMessage-ID: junk",
			`("soon" "=?utf-8?q?a?=  b c" ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) ((NIL NIL "e" "f")) ((NIL NIL "g" "h")) ((NIL NIL "i" "j")) ((NIL NIL "k" "l")) "what you wrote" "junk")`},
		"empty is not absent": {"Date:\nSubject:\nIn-Reply-To:\nMessage-ID: ", `("" "" NIL NIL NIL NIL NIL NIL "" "")`},
		"sender and reply-to without an address": {"From: a@b\nSender: \nReply-To: (none)",
			`(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)`},
		"fields that are repeated": {"Subject: a\nTo: a@b\nSubject: b\nTo: \"c\nTo: d@e", `(NIL "b" NIL NIL NIL ((NIL NIL "a" "b")(NIL NIL "c" "MISSING_DOMAIN")(NIL NIL "d" "e")) NIL NIL NIL NIL)`},
		"eight bits and NUL":       {"Subject: \xe4\nMessage-ID: a\x00b", "(NIL {1}\r\n\xe4 NIL NIL NIL NIL NIL NIL NIL {3}\r\na\x80b)"},
		"quotes and backslashes":   {`Subject: "a\b"`, `(NIL "\"a\\b\"" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		"many quotes":              {"Subject: " + strings.Repeat(`"`, 9), "(NIL {9}\r\n" + strings.Repeat(`"`, 9) + " NIL NIL NIL NIL NIL NIL NIL NIL)"},
		"a long one":               {"Subject: " + strings.Repeat("x", 1001), "(NIL {1001}\r\n" + strings.Repeat("x", 1001) + " NIL NIL NIL NIL NIL NIL NIL NIL)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, envelope(t, test.header))
			require.Equal(t, test.want, string(mimeindex.Header(crlf(test.header)).Envelope().Append(nil)))
		})
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	const missing = `"MISSING_MAILBOX" "MISSING_DOMAIN"`
	for list, want := range map[string]string{
		// RFC 5322 appendix A
		`"Joe Q. Public" <john.q.public@example.com>`:                                                                                   `("Joe Q. Public" NIL "john.q.public" "example.com")`,
		`Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>`:                                                                 `("Mary Smith" NIL "mary" "x.test")(NIL NIL "jdoe" "example.org")("Who?" NIL "one" "y.test")`,
		`<boss@nil.test>, "Giant; \"Big\" Box" <sysservices@example.net>`:                                                               `(NIL NIL "boss" "nil.test")("Giant; \"Big\" Box" NIL "sysservices" "example.net")`,
		`A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;`:                                                              `(NIL NIL "A Group" NIL)("Ed Jones" NIL "c" "a.test")(NIL NIL "joe" "where.test")("John" NIL "jdoe" "one.test")(NIL NIL NIL NIL)`,
		`Undisclosed recipients:;`:                                                                                                      `(NIL NIL "Undisclosed recipients" NIL)(NIL NIL NIL NIL)`,
		`Pete(A nice \) chap) <pete(his account)@silly.test(his host)>`:                                                                 `("Pete" NIL "pete" "silly.test")`,
		`Chris Jones <c@(Chris's host.)public.example>, joe@example.org, John <jdoe@one.test> (my dear friend); (the end of the group)`: `("Chris Jones" NIL "c" "public.example")(NIL NIL "joe" "example.org")("John" NIL "jdoe" "one.test")`,
		`Joe Q. Public <john.q.public@example.com>`:                                                                                     `("Joe Q. Public" NIL "john.q.public" "example.com")`,
		`Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example`:                                                              `("Mary Smith" "@node.test" "mary" "example.net")(NIL NIL "jdoe" "test.example")`,
		`john . q @ example . com`:                                                                                                      `(NIL NIL "john.q" "example.com")`,
		// what the wild has
		`root`:                              `(NIL NIL "root" "MISSING_DOMAIN")`,
		`A, B <a@b>`:                        `(NIL NIL "A" "MISSING_DOMAIN")("B" NIL "a" "b")`,
		`a@b; c@d;`:                         `(NIL NIL "a" "b")(NIL NIL "c" "d")`,
		`a@b (Real Name)`:                   `("Real Name" NIL "a" "b")`,
		`(Real (nested) Name) a@b`:          `("Real (nested) Name" NIL "a" "b")`,
		`<a@b> (Real Name)`:                 `("Real Name" NIL "a" "b")`,
		`root (Charlie &)`:                  `("Charlie &" NIL "root" "MISSING_DOMAIN")`,
		`foo bar baz`:                       `("foo bar baz" NIL ` + missing + `)`,
		`Foo Bar foo@bar`:                   `("Foo Bar" NIL "foo" "bar")`,
		`a@b <c@d>`:                         `("a@b" NIL "c" "d")`,
		`[list] Foo <a@b>`:                  `("[list] Foo" NIL "a" "b")`,
		`a@b c@d, e@f`:                      `(NIL NIL "a" "b")(NIL NIL "e" "f")`,
		`<a@b`:                              `(NIL NIL "a" "b")`,
		`a@b>, c@d`:                         `(NIL NIL "a" "b")(NIL NIL "c" "d")`,
		`Foo <<a@b>>, c@d`:                  `("Foo" NIL "a" "b")(NIL NIL "c" "d")`,
		`Foo <a@b> junk, c@d`:               `("Foo" NIL "a" "b")(NIL NIL "c" "d")`,
		`Foo <>`:                            `("Foo" NIL ` + missing + `)`,
		`Foo <mailto:a@b>`:                  `("Foo" NIL "a" "b")`,
		`Foo <a@b@c>, d@e`:                  `("Foo" NIL "a" "b")(NIL NIL "d" "e")`,
		`"unterminated <a@b>, c@d`:          `("unterminated" NIL "a" "b")(NIL NIL "c" "d")`,
		`"" <a@b>`:                          `(NIL NIL "a" "b")`,
		`"a b"@c`:                           `(NIL NIL "a b" "c")`,
		`a"b"c <d@e>`:                       `("abc" NIL "d" "e")`,
		`Foo  "Bar"   Baz <a@b>`:            `("Foo Bar Baz" NIL "a" "b")`,
		`a@[192.0.2.1]`:                     `(NIL NIL "a" "[192.0.2.1]")`,
		`a@[192.0.2.1`:                      `(NIL NIL "a" "[192.0.2.1")`,
		`a@`:                                `(NIL NIL "a" "MISSING_DOMAIN")`,
		`@b`:                                `(NIL NIL "MISSING_MAILBOX" "b")`,
		`.a..b@c`:                           `(NIL NIL ".a..b" "c")`,
		`a@b.`:                              `(NIL NIL "a" "b.")`,
		`<@r1,@r2:a@b>`:                     `(NIL "@r1,@r2" "a" "b")`,
		`<@b>`:                              `(NIL NIL "MISSING_MAILBOX" "b")`,
		`g: a@b, h@i`:                       `(NIL NIL "g" NIL)(NIL NIL "a" "b")(NIL NIL "h" "i")(NIL NIL NIL NIL)`,
		`g:;, h: (x) ;, a@b`:                `(NIL NIL "g" NIL)(NIL NIL NIL NIL)(NIL NIL "h" NIL)(NIL NIL NIL NIL)(NIL NIL "a" "b")`,
		`:;`:                                `(NIL NIL "" NIL)(NIL NIL NIL NIL)`,
		`=?utf-8?Q?a@b,_c?= <a@b>`:          `("=?utf-8?Q?a@b,_c?=" NIL "a" "b")`,
		`=?utf-8?Q?a?= =?utf-8?Q?b?= <a@b>`: `("=?utf-8?Q?a?= =?utf-8?Q?b?=" NIL "a" "b")`,
		`=?utf-8?Q?a b?= <a@b>`:             `("=?utf-8?Q?a b?=" NIL "a" "b")`,
		`=?x <a@b>`:                         `("=?x" NIL "a" "b")`,
		`,;, ) >`:                           ``,
		`(nobody)`:                          ``,
	} {
		t.Run(list, func(t *testing.T) {
			t.Parallel()
			if want == "" {
				want = "NIL"
			} else {
				want = "(" + want + ")"
			}
			require.Equal(t, want, string(mimeindex.AddressList{list}.Append(nil)))
		})
	}
}

func TestAddressesStop(t *testing.T) {
	t.Parallel()
	for stop := 1; stop <= 8; stop++ {
		seen := 0
		for range (mimeindex.AddressList{"g: a@b, c; d", "e; h:", "i@j"}).All() {
			if seen++; seen == stop {
				break
			}
		}
		require.Equal(t, stop, seen)
	}
}
