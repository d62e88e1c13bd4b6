package directory_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/auth"
	"github.com/mailbricks/mailbricks/auth/directory"
)

const hash = "{BLF-CRYPT}$2y$05$XAuUyuC5GWq2ZeeZ8/i5h.B9r6Z11/I7E1ZLe4q1/iSsKyOXoqVIG"

// The files that docker-mailserver's tests use, with what the guides' authors trip over.
var files = map[string]string{
	"accounts.cf": "# comment\nuser1@localhost.localdomain|" + hash + "\n   # indented\n\n" +
		"User2@otherdomain.tld|" + hash + "|userdb_mail=mbox:~/mail\nauser1@localhost.localdomain|" + hash + "\n",
	"aliases.cf": "alias1@localhost.localdomain user1@localhost.localdomain\n" +
		"alias2@localhost.localdomain external1@external.tld\n@localdomain2.com user1@localhost.localdomain\n" +
		"first.name@localhost.localdomain\tuser2@otherdomain.tld,\n   user1@localhost.localdomain\n" +
		"nested@localhost.localdomain alias1@localhost.localdomain, alias2@localhost.localdomain\n" +
		"loop1@localhost.localdomain loop2@localhost.localdomain\nloop2@localhost.localdomain loop1@localhost.localdomain\n" +
		"dead@localhost.localdomain nobody@localhost.localdomain\n@otherdomain.tld user1@localhost.localdomain\n" +
		"büro@müller.example user1@localhost.localdomain\n",
	"regexp.cf": "/^test[0-9][0-9]*@localhost.localdomain/ user1@localhost.localdomain\n" +
		"/^(.*)-box@localhost\\.localdomain$/ $1@localhost.localdomain\n",
	"quotas.cf": "user1@localhost.localdomain:5G\nauser1@localhost.localdomain:10k\n",
}

func open(t *testing.T, files map[string]string, opts directory.Options) (*directory.Directory, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	d, err := directory.Open(dir, opts)
	require.NoError(t, err)
	return d, dir
}

func TestResolve(t *testing.T) {
	t.Parallel()
	d, _ := open(t, files, directory.Options{})
	const user1, user2, ext = "user1@localhost.localdomain", "user2@otherdomain.tld", "external1@external.tld"
	for in, want := range map[string][]string{
		user1:                                  {user1},
		"USER1@LocalHost.LocalDomain":          {user1},
		"user1+tag@localhost.localdomain":      {user1},
		"user1+a+b@localhost.localdomain":      {user1},
		"alias1@localhost.localdomain":         {user1},
		"alias1+tag@localhost.localdomain":     {user1},
		"alias2@localhost.localdomain":         {ext},
		"first.name@localhost.localdomain":     {user2, user1},
		"nested@localhost.localdomain":         {user1, ext},
		"test123@localhost.localdomain":        {user1},
		"user1-box@localhost.localdomain":      {user1},
		"anything@localdomain2.com":            {user1},
		"user2@otherdomain.tld":                {user2}, // an account comes before the catch-all
		"user2+x@otherdomain.tld":              {user2}, // and so does its sub-address
		"nobody@otherdomain.tld":               {user1},
		"büro@müller.example":                  {user1},
		"BÜRO@xn--mller-kva.example":           {user1},
		"postmaster":                           {user1},
		"PostMaster":                           {user1},
		"postmaster@localhost.localdomain":     {user1},
		"postmaster@xn--mller-kva.example":     {user1},
		"someone@elsewhere.example":            {"someone@elsewhere.example"},
		`"quoted+local"@localdomain2.com`:      {user1},
		"auser1@localhost.localdomain":         {"auser1@localhost.localdomain"},
		"postmaster@otherdomain.tld":           {user1}, // its catch-all
		"first.name+x@localhost.localdomain":   {user2, user1},
		"test1+x@localhost.localdomain":        {user1},
		"alias2+detail@localhost.localdomain.": {ext},
	} {
		got, err := d.Resolve(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{
		"nobody@localhost.localdomain", "firstxname@localhost.localdomain", "xalias1@localhost.localdomain", "+tag@localhost.localdomain",
		"dead@localhost.localdomain", "nobody", "", "@", "a b@localdomain2.com", "user1@localhost..localdomain", "nobody-box@localhost.localdomain",
	} {
		_, err := d.Resolve(in)
		require.ErrorIs(t, err, directory.ErrNoRecipient, in)
	}
	_, err := d.Resolve("loop1@localhost.localdomain")
	require.ErrorIs(t, err, directory.ErrAliasLoop)
}

func TestResolvePostmaster(t *testing.T) {
	t.Parallel()
	d, _ := open(t, files, directory.Options{Postmaster: "user2@otherdomain.tld", Domains: []string{"empty.example"}})
	for _, in := range []string{"postmaster", "postmaster@localhost.localdomain", "postmaster@otherdomain.tld", "postmaster@empty.example"} {
		got, err := d.Resolve(in)
		require.NoError(t, err, in)
		require.Equal(t, []string{"user2@otherdomain.tld"}, got, in)
	}
	empty, _ := open(t, nil, directory.Options{Domains: []string{"empty.example"}})
	_, err := empty.Resolve("postmaster")
	require.ErrorIs(t, err, directory.ErrNoRecipient)
	external, _ := open(t, files, directory.Options{Postmaster: "boss@elsewhere.example"})
	got, err := external.Resolve("postmaster")
	require.NoError(t, err)
	require.Equal(t, []string{"boss@elsewhere.example"}, got)
}

func TestResolveIsBounded(t *testing.T) {
	t.Parallel()
	var wide strings.Builder
	wide.WriteString("all@a.example ")
	for i := range directory.MaxTargets + 1 {
		wide.WriteString(strings.Repeat("x", 1+i%50) + string(rune('a'+i%26)) + strings.Repeat("y", i/1000) + "-" + strings.Repeat("z", i/50) + "@b.example,")
	}
	d, _ := open(t, map[string]string{"aliases.cf": wide.String() + "\n"}, directory.Options{})
	_, err := d.Resolve("all@a.example")
	require.ErrorIs(t, err, directory.ErrAliasLoop)
}

func TestMaySendAs(t *testing.T) {
	t.Parallel()
	d, _ := open(t, files, directory.Options{})
	id := mailbricks.Identity{Login: "user1@localhost.localdomain", User: "user1@localhost.localdomain"}
	for address, want := range map[string]bool{
		"user1@localhost.localdomain": true, "user1+tag@localhost.localdomain": true, "alias1@localhost.localdomain": true,
		"first.name@localhost.localdomain": true, "any@localdomain2.com": true, "test7@localhost.localdomain": true,
		"user2@otherdomain.tld": false, "alias2@localhost.localdomain": false, "external1@external.tld": false,
		"auser1@localhost.localdomain": false, "nobody@localhost.localdomain": false, "FBI": false, "": false, "a@elsewhere.example": false,
	} {
		got, err := d.MaySendAs(t.Context(), id, address)
		require.NoError(t, err)
		require.Equal(t, want, got, address)
	}
}

func TestHostsAndLists(t *testing.T) {
	t.Parallel()
	d, _ := open(t, files, directory.Options{Domains: []string{"Bücher.example"}})
	for domain, want := range map[string]bool{
		"localhost.localdomain": true, "LOCALDOMAIN2.com.": true, "müller.example": true, "xn--bcher-kva.example": true, "external.tld": false, "": false,
	} {
		require.Equal(t, want, d.Hosts(domain), domain)
	}
	require.Equal(t, []string{"localdomain2.com", "localhost.localdomain", "otherdomain.tld", "xn--bcher-kva.example", "xn--mller-kva.example"}, d.Domains())
	accounts := d.Accounts()
	require.Len(t, accounts, 3)
	require.Equal(t, directory.Account{Address: "user1@localhost.localdomain", Quota: 5 << 30, Aliases: []string{
		"alias1@localhost.localdomain", "@localdomain2.com", "first.name@localhost.localdomain", "@otherdomain.tld", "büro@xn--mller-kva.example",
	}}, accounts[0])
	require.EqualValues(t, 10240, d.Quota("AUser1@localhost.localdomain"))
	require.Zero(t, d.Quota("user2@otherdomain.tld"))
	require.True(t, d.IsAccount("USER1@localhost.localdomain"))
	require.False(t, d.IsAccount("alias1@localhost.localdomain"))
	require.Equal(t, "/^test[0-9][0-9]*@localhost.localdomain/", d.Aliases()[len(d.Aliases())-2].Alias)
}

func TestUsers(t *testing.T) {
	t.Parallel()
	d, _ := open(t, files, directory.Options{})
	u, err := d.User(t.Context(), "USER2@otherdomain.tld")
	require.NoError(t, err)
	require.Equal(t, auth.User{Login: "user2@otherdomain.tld", Hash: hash}, u)
	for _, name := range []string{"alias1@localhost.localdomain", "user1", "", "user1+x@localhost.localdomain"} {
		_, err = d.User(t.Context(), name)
		require.ErrorIs(t, err, auth.ErrNoUser)
	}
	require.Equal(t, hash, d.Decoy("nobody"))
	empty, _ := open(t, nil, directory.Options{})
	require.Empty(t, empty.Decoy("nobody"))
}

func TestMistakesNameFileAndLine(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ file, text, want string }{
		"no hash":           {"accounts.cf", "# x\na@b.example\n", "accounts.cf line 2"},
		"no domain":         {"accounts.cf", "ann|{x}y\n", "should include the domain"},
		"twice":             {"accounts.cf", "a@b.example|x\nA@B.example|y\n", "accounts.cf line 2"},
		"no target":         {"aliases.cf", "a@b.example\n", "aliases.cf line 1"},
		"bad target":        {"aliases.cf", "a@b.example ann\n", "aliases.cf line 1: target"},
		"bad expression":    {"regexp.cf", "/(/ a@b.example\n", "regexp.cf line 1"},
		"no slash":          {"regexp.cf", "x a@b.example\n", "regexp.cf line 1"},
		"open expression":   {"regexp.cf", "/x a@b.example\n", "regexp.cf line 1"},
		"unknown flag":      {"regexp.cf", "/x/q a@b.example\n", "unknown flags"},
		"bad quota":         {"quotas.cf", "a@b.example:26GIGOTS\n", "quotas.cf line 1"},
		"no colon in quota": {"quotas.cf", "x\n", "quotas.cf line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, tc.file), []byte(tc.text), 0o600))
			_, err := directory.Open(dir, directory.Options{})
			require.ErrorContains(t, err, tc.want)
		})
	}
	_, err := directory.Open(t.TempDir(), directory.Options{Domains: []string{"a..b"}})
	require.Error(t, err)
	_, err = directory.Open(t.TempDir(), directory.Options{Postmaster: "ann"})
	require.ErrorContains(t, err, "postmaster")
}

func TestEditsByHandHoldAndMistakesDoNot(t *testing.T) {
	t.Parallel()
	d, dir := open(t, files, directory.Options{Recheck: time.Nanosecond})
	accounts := filepath.Join(dir, "accounts.cf")
	require.NoError(t, os.WriteFile(accounts, []byte("new@localhost.localdomain|"+hash+"\n"), 0o600))
	require.True(t, d.IsAccount("new@localhost.localdomain"))
	require.False(t, d.IsAccount("user1@localhost.localdomain"))
	require.NoError(t, os.WriteFile(accounts, []byte("what is this?\n"), 0o600))
	require.True(t, d.IsAccount("new@localhost.localdomain"), "a file with a mistake changes nothing")
	require.Error(t, d.Reload())
	require.NoError(t, os.Remove(accounts))
	require.False(t, d.IsAccount("new@localhost.localdomain"))
	require.Error(t, d.Configure(directory.Options{Postmaster: "x"}))
	require.NoError(t, d.Configure(directory.Options{Domains: []string{"added.example"}}))
	require.True(t, d.Hosts("added.example"))
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]int64{"0": 0, "1B": 1, "10k": 10 << 10, "50M": 50 << 20, "5G": 5 << 30, "2T": 2 << 40} {
		got, err := directory.ParseSize(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
		require.Equal(t, in, directory.FormatSize(got))
	}
	for _, in := range []string{"", "123", "-60M", "26GIGOTS", "M", "1m", "+1M", "9999999999T", "1.5G", "0x1M"} {
		_, err := directory.ParseSize(in)
		require.Error(t, err, in)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	require.NoError(t, err)
	return string(b)
}

func TestAccountsAreEdited(t *testing.T) {
	t.Parallel()
	d, dir := open(t, files, directory.Options{})
	require.NoError(t, d.AddAccount("New@Example.COM", "secret"))
	require.ErrorContains(t, d.AddAccount("new@example.com", "x"), "already exists")
	require.ErrorContains(t, d.AddAccount("alias1@localhost.localdomain", "x"), "is already defined as an alias")
	require.ErrorIs(t, d.AddAccount("new", "x"), directory.ErrNoDomain)
	require.Error(t, d.AddAccount("a|b@example.com", "x"))
	require.Error(t, d.AddAccount("empty@example.com", ""))
	u, err := d.User(t.Context(), "new@example.com")
	require.NoError(t, err)
	ok, err := auth.VerifyPassword(u.Hash, "secret")
	require.NoError(t, err)
	require.True(t, ok)

	require.NoError(t, d.SetPassword("user2@otherdomain.tld", "fresh"))
	require.Error(t, d.SetPassword("nobody@otherdomain.tld", "fresh"))
	text := read(t, dir, "accounts.cf")
	require.Contains(t, text, "# comment\nuser1@localhost.localdomain|"+hash+"\n   # indented\n", "comments and other lines stay")
	require.Regexp(t, `(?im)^user2@otherdomain.tld\|\{ARGON2ID\}.*\|userdb_mail=mbox:~/mail$`, text)
	info, err := os.Stat(filepath.Join(dir, "accounts.cf"))
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o077)
}

func TestDeletingAnAccountCleansUp(t *testing.T) {
	t.Parallel()
	d, dir := open(t, files, directory.Options{})
	before := read(t, dir, "accounts.cf")
	require.Error(t, d.DeleteAccounts("user1@localhost.localdomain", "nobody@localhost.localdomain"))
	require.Equal(t, before, read(t, dir, "accounts.cf"), "all or none")
	require.NoError(t, d.DeleteAccounts("user1@localhost.localdomain"))
	require.False(t, d.IsAccount("user1@localhost.localdomain"))
	require.True(t, d.IsAccount("auser1@localhost.localdomain"))
	require.NotContains(t, read(t, dir, "quotas.cf"), "\nuser1@")
	require.Contains(t, read(t, dir, "quotas.cf"), "auser1@localhost.localdomain:10k")
	aliases := read(t, dir, "aliases.cf")
	require.NotContains(t, aliases, "alias1@localhost.localdomain user1", "left without a target")
	require.Contains(t, aliases, "first.name@localhost.localdomain user2@otherdomain.tld\n")
	require.Contains(t, aliases, "alias2@localhost.localdomain external1@external.tld\n")
	require.NotContains(t, read(t, dir, "regexp.cf"), "user1")
}

func TestAliasesAreEdited(t *testing.T) {
	t.Parallel()
	d, dir := open(t, files, directory.Options{})
	require.NoError(t, d.AddAlias("sales@example.com", "user1@localhost.localdomain"))
	require.NoError(t, d.AddAlias("Sales@example.com", "bob@elsewhere.example"))
	require.Contains(t, read(t, dir, "aliases.cf"), "\nsales@example.com user1@localhost.localdomain,bob@elsewhere.example\n")
	require.ErrorContains(t, d.AddAlias("sales@example.com", "bob@elsewhere.example"), "already")
	require.ErrorContains(t, d.AddAlias("user1@localhost.localdomain", "bob@elsewhere.example"), "is an account")
	require.ErrorIs(t, d.AddAlias("sales", "bob@elsewhere.example"), directory.ErrNoDomain)
	require.Error(t, d.AddAlias("sales@example.com", "bob"))
	require.NoError(t, d.DeleteAlias("sales@example.com", "user1@localhost.localdomain"))
	require.NoError(t, d.DeleteAlias("sales@example.com", "BOB@elsewhere.example"))
	require.NotContains(t, read(t, dir, "aliases.cf"), "sales@")
	require.Error(t, d.DeleteAlias("sales@example.com", "bob@elsewhere.example"))

	require.NoError(t, d.AddAlias("@example.com", "user1@localhost.localdomain"))
	require.True(t, d.Hosts("example.com"))
	require.NoError(t, d.AddAlias(`/^info .*@example\.com$/`, "user1@localhost.localdomain"))
	require.Error(t, d.AddAlias("/(/", "user1@localhost.localdomain"))
	require.Contains(t, read(t, dir, "regexp.cf"), `/^info .*@example\.com$/ user1@localhost.localdomain`)
	require.NoError(t, d.DeleteAlias(`/^info .*@example\.com$/`, "user1@localhost.localdomain"))
	require.NotContains(t, read(t, dir, "regexp.cf"), "info")
}

func TestQuotasAreEdited(t *testing.T) {
	t.Parallel()
	d, dir := open(t, files, directory.Options{})
	require.NoError(t, d.SetQuota("user2@otherdomain.tld", 7<<30))
	require.Contains(t, read(t, dir, "quotas.cf"), "user2@otherdomain.tld:7G\n")
	require.EqualValues(t, 7<<30, d.Quota("user2@otherdomain.tld"))
	require.NoError(t, d.DeleteQuota("user2@otherdomain.tld"))
	require.NoError(t, d.DeleteQuota("user2@otherdomain.tld"), "without a quota too")
	require.Zero(t, d.Quota("user2@otherdomain.tld"))
	require.Error(t, d.SetQuota("nobody@otherdomain.tld", 1))
	require.NoError(t, d.SetQuota("user1@localhost.localdomain", 0))
	require.Contains(t, read(t, dir, "quotas.cf"), "user1@localhost.localdomain:0\n")
}

func TestExpand(t *testing.T) {
	t.Parallel()
	d, _ := open(t, files, directory.Options{})
	var seen []mailbricks.Recipient
	full := &mailbricks.Reply{Code: 452, Text: "full"}
	gone := &mailbricks.Reply{Code: 550, Text: "gone"}
	next := mailbricks.HandlerFunc(func(_ context.Context, env *mailbricks.Envelope, _ *mailbricks.Message) error {
		seen = env.Recipients
		results := make(mailbricks.Results, len(seen))
		for i, r := range seen {
			switch r.Address {
			case "external1@external.tld":
				results[i] = gone
			case "user2@otherdomain.tld":
				results[i] = full
			}
		}
		return results.Err()
	})
	env := &mailbricks.Envelope{Recipients: []mailbricks.Recipient{
		{Address: "nested@localhost.localdomain", Notify: mailbricks.NotifyNever},
		{Address: "user1@localhost.localdomain"},
		{Address: "nobody@localhost.localdomain"},
		{Address: "first.name@localhost.localdomain"},
	}}
	err := d.Expand(next).Handle(t.Context(), env, mailbricks.NewMessage(nil))
	require.Equal(t, []mailbricks.Recipient{
		{Address: "user1@localhost.localdomain", Alias: "nested@localhost.localdomain", Notify: mailbricks.NotifyNever},
		{Address: "external1@external.tld", Alias: "nested@localhost.localdomain", Notify: mailbricks.NotifyNever},
		{Address: "user2@otherdomain.tld", Alias: "first.name@localhost.localdomain"},
	}, seen, "nobody gets it twice")
	results := mailbricks.ResultsOf(err, 4)
	require.Equal(t, gone, results[0])
	require.NoError(t, results[1])
	require.ErrorIs(t, results[2], directory.ErrNoRecipient)
	require.Equal(t, 550, mailbricks.ReplyTo(results[2]).Code)
	require.Equal(t, full, results[3])
	require.Equal(t, "nested@localhost.localdomain", env.Recipients[0].Address, "the caller's envelope stays")

	seen = nil
	env.Recipients = env.Recipients[2:3]
	require.Error(t, d.Expand(next).Handle(t.Context(), env, mailbricks.NewMessage(nil)))
	require.Nil(t, seen, "not called without recipients")
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	require.Equal(t, "5.1.1", mailbricks.ReplyTo(directory.Refusal("x@y", directory.ErrNoRecipient)).Enhanced)
	require.True(t, mailbricks.IsTemporary(directory.Refusal("x@y", directory.ErrAliasLoop)))
	other := errors.New("other")
	require.Equal(t, other, directory.Refusal("x@y", other))
}

func FuzzResolve(f *testing.F) {
	f.Add("a@b.example|x", "c@b.example a@b.example", "/x(.*)@b.example/ $1@b.example", "x1@b.example")
	f.Fuzz(func(t *testing.T, accounts, aliases, regexps, address string) {
		if len(regexps) > 200 {
			return
		}
		dir := t.TempDir()
		for name, text := range map[string]string{"accounts.cf": accounts, "aliases.cf": aliases, "regexp.cf": regexps} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		d, err := directory.Open(dir, directory.Options{})
		if err != nil {
			return
		}
		targets, err := d.Resolve(address)
		if err == nil {
			require.NotEmpty(t, targets)
			require.LessOrEqual(t, len(targets), directory.MaxTargets)
		}
	})
}
