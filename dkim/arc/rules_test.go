package arc_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/stretchr/testify/require"
)

// rule is one thing that can be right or wrong with a chain.
type rule struct {
	name   string
	sets   int // 0: one
	change func(f *forgery)
	err    error // nil: the chain passes
	asked  int   // how many keys; -1: does not matter
	oldest int   // OldestPass
}

// The rules of RFC 8617 (and RFC 6376, 8301 and 8463, from which it takes its signatures), each with a chain that is
// signed as it stands, so that nothing else is wrong with it.
//
// They go with the validation suite that the standard's authors published while it was a draft, except for two things
// that its cases let pass: rsa-sha1 (RFC 8301 §3.1) and an h= without From, such as an empty one (RFC 6376 §3.5, §6.1.1).
func TestRules(t *testing.T) {
	t.Parallel()
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "group\tcases\tpassed")
	for _, group := range []struct {
		name  string
		rules []rule
	}{
		{"chain", chainRules()},
		{"i=", instanceRules()},
		{"tag-lists", tagRules()},
		{"algorithms and keys", keyRules()},
		{"h=", headerRules()},
		{"canonicalization", canonicalRules()},
		{"other tags", valueRules()},
	} {
		passed := 0
		for _, r := range group.rules {
			if t.Run(group.name+"/"+r.name, r.run) {
				passed++
			}
		}
		fmt.Fprintf(w, "%s\t%d\t%d\n", group.name, len(group.rules), passed)
	}
	require.NoError(t, w.Flush())
	t.Logf("rules of RFC 8617:\n%s", table.String())
}

func (r *rule) run(t *testing.T) {
	z := new(zone)
	f := forge(z, t, max(r.sets, 1))
	r.change(f)
	got := verify(t, z, f.message(t))
	if r.err == nil {
		require.NoError(t, got.Err)
		require.Equal(t, arc.Pass, got.Status)
		require.Equal(t, r.oldest, got.OldestPass)
	} else {
		require.ErrorIs(t, got.Err, r.err)
		require.Equal(t, arc.Fail, got.Status)
	}
	if r.asked >= 0 {
		require.Len(t, z.asked, r.asked, "look-ups")
	}
	require.False(t, got.Temporary)
}

// replace changes the text of a set's fields before they are signed.
func replace(set int, old, with string) func(*forgery) {
	return func(f *forgery) {
		s := &f.sets[set]
		before := s.results + s.message + s.seal
		for _, field := range []*string{&s.results, &s.message, &s.seal} {
			*field = strings.Replace(*field, old, with, 1)
		}
		if before == s.results+s.message+s.seal {
			panic("nothing to replace: " + old)
		}
	}
}

func inResults(old, with string) func(*forgery) {
	return func(f *forgery) { f.sets[0].results = mustReplace(f.sets[0].results, old, with) }
}

func inMessage(old, with string) func(*forgery) {
	return func(f *forgery) { f.sets[0].message = mustReplace(f.sets[0].message, old, with) }
}

func inSeal(old, with string) func(*forgery) {
	return func(f *forgery) { f.sets[0].seal = mustReplace(f.sets[0].seal, old, with) }
}

func mustReplace(s, old, with string) string {
	if !strings.Contains(s, old) {
		panic("nothing to replace: " + old)
	}
	return strings.Replace(s, old, with, 1)
}

// tamper changes the fields of a set (seal, message signature, results) after they are signed.
func tamper(set int, change func(fields []string) []string) func(*forgery) {
	return func(f *forgery) { f.sets[set].tamper = change }
}

func without(i int) func([]string) []string {
	return func(fields []string) []string { return slices.Delete(fields, i, i+1) }
}

func twice(i int) func([]string) []string {
	return func(fields []string) []string { return append(fields, fields[i]) }
}

func edit(i int, old, with string) func([]string) []string {
	return func(fields []string) []string {
		fields[i] = mustReplace(fields[i], old, with)
		return fields
	}
}

func nothing(*forgery) {}

// chainRules are RFC 8617 §4.3 and §5.2.
func chainRules() []rule {
	return []rule{
		{name: "one set", change: nothing, asked: 1},
		{name: "five sets", sets: 5, change: nothing, asked: 5},
		{name: "order of the fields does not matter", sets: 3, change: func(f *forgery) {
			for i := range f.sets {
				f.sets[i].tamper = func(fields []string) []string { return []string{fields[2], fields[0], fields[1]} }
			}
		}, asked: 3},
		{name: "no results", change: tamper(0, without(2)), err: arc.ErrStructure},
		{name: "no message signature", change: tamper(0, without(1)), err: arc.ErrStructure},
		{name: "no seal", change: tamper(0, without(0)), err: arc.ErrStructure},
		{name: "no results in an old set", sets: 2, change: tamper(0, without(2)), err: arc.ErrStructure},
		{name: "no message signature in an old set", sets: 2, change: tamper(0, without(1)), err: arc.ErrStructure},
		{name: "no seal in an old set", sets: 2, change: tamper(0, without(0)), err: arc.ErrStructure},
		{name: "only results in the newest set", sets: 2, change: tamper(1, func(f []string) []string { return f[2:] }),
			err: arc.ErrStructure},
		{name: "results twice", change: tamper(0, twice(2)), err: arc.ErrStructure},
		{name: "message signature twice", change: tamper(0, twice(1)), err: arc.ErrStructure},
		{name: "seal twice", change: tamper(0, twice(0)), err: arc.ErrStructure},
		{name: "seal twice in the newest set", sets: 2, change: tamper(1, twice(0)), err: arc.ErrStructure},
		{name: "set twice", sets: 2, change: tamper(0, func(f []string) []string { return append(f, f...) }), err: arc.ErrStructure},
		{name: "set missing", sets: 3, change: tamper(1, func([]string) []string { return nil }), err: arc.ErrStructure},
		{name: "oldest set missing", sets: 2, change: tamper(0, func([]string) []string { return nil }), err: arc.ErrStructure},
		{name: "newest set missing", sets: 3, change: tamper(2, func([]string) []string { return nil }), asked: 2},
		{name: "cv=pass in the first set", change: inSeal("cv=none", "cv=pass"), err: arc.ErrStructure},
		{name: "cv=none in the second set", sets: 2, change: replace(1, "cv=pass", "cv=none"), err: arc.ErrStructure},
		{name: "cv=fail in the newest set", sets: 2, change: replace(1, "cv=pass", "cv=fail"), err: arc.ErrMarkedFail},
		{name: "cv=fail in the only set", change: inSeal("cv=none", "cv=fail"), err: arc.ErrMarkedFail},
		{name: "cv=fail in an old set", sets: 2, change: inSeal("cv=none", "cv=fail"), err: arc.ErrStructure},
		{name: "cv= missing", change: inSeal("cv=none; ", ""), err: arc.ErrStructure},
		{name: "cv= empty", change: inSeal("cv=none", "cv="), err: arc.ErrStructure},
		{name: "cv= unknown", change: inSeal("cv=none", "cv=:)"), err: arc.ErrStructure},
		{name: "cv=NONE", change: inSeal("cv=none", "cv=NONE"), asked: 1},
		{name: "results changed", change: tamper(0, edit(2, "spf=pass", "spf=fail")), err: arc.ErrSeal, asked: 1},
		{name: "results of an old set changed", sets: 3, change: tamper(0, edit(2, "spf=pass", "spf=fail")),
			err: arc.ErrSeal, asked: 3},
		{name: "message signature changed", change: tamper(0, edit(1, "h=from:to:subject", "h=from:subject")),
			err: arc.ErrMessageSignature, asked: 1},
		{name: "old message signature changed", sets: 2, change: tamper(0, edit(1, "h=from:to", "h=from: to")), err: arc.ErrSeal,
			asked: 2},
		{name: "seal changed", change: tamper(0, edit(0, "s=arc", "s=arc; x=y")), err: arc.ErrSeal, asked: 1},
		{name: "old seal changed", sets: 2, change: tamper(0, edit(0, "s=arc", "s=arc; x=y")), err: arc.ErrSeal, asked: 2},
		{name: "field of the message changed", change: afterwards(2, "Lunch", "Dinner"), err: arc.ErrMessageSignature, asked: 1},
		{name: "field without signature changed", change: afterwards(3, "11:59", "11:58"), asked: 1},
		{name: "only the first message signature does not verify", sets: 2,
			change: func(f *forgery) { f.sets[0].old = "Before.\r\n" }, asked: 2, oldest: 2},
		{name: "an old message signature does not verify", sets: 5, change: func(f *forgery) { f.sets[2].old = "Before.\r\n" },
			asked: 5, oldest: 4},
		{name: "an old message signature is malformed", sets: 2, change: inMessage("a=rsa-sha256", "a=rot13"), asked: 2, oldest: 2},
		{name: "body changed", change: func(f *forgery) { f.sets[0].old = "Before.\r\n" }, err: dkim.ErrBody},
	}
}

// afterwards changes a field of the message after all is signed.
func afterwards(field int, old, with string) func(*forgery) {
	return func(f *forgery) {
		last := len(f.sets) - 1
		f.sets[last].tamper = func(fields []string) []string {
			f.fields[field] = mustReplace(f.fields[field], old, with)
			return fields
		}
	}
}

// instanceRules are RFC 8617 §3.9 and §4.2.1.
func instanceRules() []rule {
	var rules []rule
	for name, value := range map[string]string{
		"empty": "i=", "zero": "i=0", "51": "i=51", "word": "i=a", "hexadecimal": "i=0x1", "signed": "i=+1", "three digits": "i=001",
		"decimal": "i=1.0", "two numbers": "i=1 1", "other digits": "i=\u0661", "upper case": "I=1",
	} {
		for where, change := range map[string]func(old, with string) func(*forgery){
			"results": inResults, "message signature": inMessage, "seal": inSeal,
		} {
			rules = append(rules, rule{name: name + " in " + where, change: change("i=1", value), err: arc.ErrStructure})
		}
	}
	return append(rules, []rule{
		{name: "missing in results", change: inResults("i=1; ", ""), err: arc.ErrStructure},
		{name: "missing in message signature", change: inMessage("i=1; ", ""), err: arc.ErrStructure},
		{name: "missing in seal", change: inSeal("i=1; ", ""), err: arc.ErrStructure},
		{name: "not in front of the results", change: inResults("i=1; mx.aa.example", "mx.aa.example; i=1"), err: arc.ErrStructure},
		{name: "results without semicolon", change: inResults("i=1; ", "i=1 "), err: arc.ErrStructure},
		{name: "twice in message signature", change: inMessage("i=1;", "i=1; i=1;"), err: arc.ErrStructure},
		{name: "twice in seal", change: inSeal("t=", "i=1; t="), err: arc.ErrStructure},
		{name: "not in front of signatures", change: func(f *forgery) {
			inMessage("i=1; a=rsa-sha256", "a=rsa-sha256; i=1")(f)
			inSeal("i=1; a=rsa-sha256", "a=rsa-sha256; i=1")(f)
		}, asked: 1},
		{name: "leading zero", change: func(f *forgery) {
			inResults("i=1", "i=01")(f)
			inMessage("i=1", "i=01")(f)
			inSeal("i=1", "i=01")(f)
		}, asked: 1},
		{name: "twice by a leading zero", change: tamper(0, func(fields []string) []string {
			return append(fields, strings.Replace(fields[0], "i=1", "i=01", 1))
		}), err: arc.ErrStructure},
		{name: "comments and folds", change: func(f *forgery) {
			inResults("i=1;", "(a ;(b\\)) c)\r\n\ti (d) =\r\n 1 (e);")(f)
			inMessage("i=1;", "(i=2;) i (d) = (x) 1\r\n (e) ;")(f)
			inSeal("i=1;", "() i = 1 ;")(f)
		}, asked: 1},
	}...)
}

// tagRules are RFC 6376 §3.2, for both signatures.
func tagRules() []rule {
	var rules []rule
	for where, change := range map[string]func(old, with string) func(*forgery){"message signature": inMessage, "seal": inSeal} {
		rules = append(rules, []rule{
			{name: "space around semicolon in " + where, change: change("s=arc;", "s=arc ;"), asked: 1},
			{name: "space around equals in " + where, change: change("s=arc;", "s = arc;"), asked: 1},
			{name: "semicolon at the end of " + where, change: change("SIG", "SIG;"), asked: 1},
			{name: "unknown tag in " + where, change: change("s=arc;", "s=arc; w=cat party;"), asked: 1},
			{name: "v= is ignored in " + where, change: change("s=arc;", "s=arc; v=7;"), asked: 1},
			{name: "wrong tag name in " + where, change: change("s=arc;", "s=arc; _=;"), err: arc.ErrStructure},
			{name: "no tag name in " + where, change: change("s=arc;", "s=arc; ==;"), err: arc.ErrStructure},
			{name: "tag twice in " + where, change: change("s=arc;", "s=arc; s=arc;"), err: arc.ErrStructure},
			{name: "empty tag in " + where, change: change("s=arc;", "s=arc;;"), err: arc.ErrStructure},
			{name: "control character in " + where, change: change("s=arc;", "s=arc; w=\x01;"), err: arc.ErrStructure},
			{name: "tag in upper case in " + where, change: change("s=arc;", "S=arc;"), err: dkim.ErrSyntax},
			{name: "b= with white space in " + where, change: change("b=SIG", "b =\r\n SIG\t"), asked: 1},
			{name: "b= in the middle of " + where, change: func(f *forgery) {
				change(";\r\n\tb=SIG", "")(f)
				change("s=arc;", "s=arc; b=SIG;")(f)
			}, asked: 1},
		}...)
	}
	return rules
}

// keyRules are RFC 6376 §3.6.1 and §6.1.2, RFC 8301 and RFC 8463.
func keyRules() []rule {
	both := func(old, with string) func(*forgery) {
		return func(f *forgery) {
			inMessage(old, with)(f)
			inSeal(old, with)(f)
		}
	}
	return []rule{
		{name: "message signature by rsa-sha1", change: inMessage("rsa-sha256", "rsa-sha1"), err: dkim.ErrAlgorithm},
		{name: "seal by rsa-sha1", change: inSeal("rsa-sha256", "rsa-sha1"), err: dkim.ErrAlgorithm},
		{name: "unknown algorithm of a message signature", change: inMessage("rsa-sha256", "rsa-poptart"), err: dkim.ErrAlgorithm},
		{name: "unknown algorithm of a seal", change: inSeal("rsa-sha256", "rsa-sha42"), err: dkim.ErrAlgorithm},
		{name: "algorithm in upper case", change: both("rsa-sha256", "RSA-SHA256"), asked: 1},
		{name: "algorithm of another key", change: inSeal("rsa-sha256", "ed25519-sha256"), err: dkim.ErrKeyUse, asked: 1},
		{name: "other domain and selector in the seal", change: inSeal("d=aa.example; s=arc", "d=aa.example; s=none"),
			err: dkim.ErrNoKey, asked: 2},
		{name: "no key", change: both("s=arc", "s=none"), err: dkim.ErrNoKey, asked: 1},
	}
}

// headerRules are RFC 6376 §3.5, §5.4.2 and §6.1.1 on h=, and RFC 8617 §4.1.2 and §4.1.3.
func headerRules() []rule {
	names := func(h string, names ...string) func(*forgery) {
		return func(f *forgery) {
			inMessage("h=from:to:subject", "h="+h)(f)
			f.sets[0].names = names
		}
	}
	more := func(fields ...string) func(*forgery) {
		return func(f *forgery) {
			f.fields = append(f.fields, fields...)
			names("from:to:to:subject", "from", "to", "to", "subject")(f)
		}
	}
	return []rule{
		{name: "white space", change: names("from : to\r\n :\tsubject", "from", "to", "subject"), asked: 1},
		{name: "upper case", change: names("From:TO:Subject", "from", "to", "subject"), asked: 1},
		{name: "field that there is not", change: names("from:cc:to:subject:cc", "from", "to", "subject"), asked: 1},
		{name: "field that there is not and is added", change: func(f *forgery) {
			names("from:cc", "from")(f)
			tamper(0, func(fields []string) []string { return append(fields, "Cc: eve@example.org") })(f)
		}, err: dkim.ErrSignature, asked: 1},
		{name: "empty name", change: names("from:to::subject", "from", "to", "subject"), asked: 1},
		{name: "name twice, lowest first", change: more("To: second@example.net\r\n"), asked: 1},
		{name: "other order", change: names("subject:to:from", "from", "to", "subject"), err: dkim.ErrSignature, asked: 1},
		{name: "no name", change: names(" "), err: dkim.ErrSyntax},
		{name: "without From", change: names("to:subject", "to", "subject"), err: dkim.ErrSyntax},
		{name: "no field name", change: names("from:a b", "from"), err: dkim.ErrSyntax},
		{name: "missing", change: inMessage("h=from:to:subject; ", ""), err: dkim.ErrSyntax},
		{name: "in a seal", change: inSeal("s=arc;", "s=arc; h=from;"), err: dkim.ErrSyntax},
		{name: "lists ARC-Seal", change: names("from:Arc-Seal", "from"), err: dkim.ErrSyntax},
		{name: "lists the other ARC fields", sets: 2, change: func(f *forgery) {
			f.sets[1].message = mustReplace(f.sets[1].message, "h=from", "h=arc-message-signature:arc-authentication-results:from")
			f.sets[1].names = []string{"arc-message-signature", "arc-authentication-results", "from", "to", "subject"}
		}, asked: 2},
		{name: "lists its own name", change: names("from:arc-message-signature", "from"), asked: 1},
	}
}

// canonicalRules are RFC 6376 §3.4.
func canonicalRules() []rule {
	form := func(c string, simple, simpleBody bool, body string) func(*forgery) {
		return func(f *forgery) {
			inMessage("c=relaxed/relaxed; ", c)(f)
			f.sets[0].simple, f.sets[0].simpleBody, f.sets[0].old = simple, simpleBody, f.body
			if body != "" {
				f.body = body
			}
		}
	}
	return []rule{
		{name: "relaxed/relaxed, white space in the body",
			change: form("c=relaxed/relaxed; ", false, false, "At \tone?  \r\nAnn\r\n\r\n"), asked: 1},
		{name: "relaxed/simple, lines at the end",
			change: form("c=relaxed/simple; ", false, true, "At one?\r\nAnn\r\n\r\n\r\n"), asked: 1},
		{name: "relaxed/simple, white space in the body", change: form("c=relaxed/simple; ", false, true, "At  one?\r\nAnn\r\n"),
			err: dkim.ErrBody},
		{name: "simple/relaxed", change: form("c=simple/relaxed; ", true, false, ""), asked: 1},
		{name: "simple/simple", change: form("c=simple/simple; ", true, true, ""), asked: 1},
		{name: "simple", change: form("c=simple; ", true, true, ""), asked: 1},
		{name: "relaxed", change: form("c=relaxed; ", false, true, ""), asked: 1},
		{name: "upper case", change: form("c=Relaxed/RELAXED; ", false, false, ""), asked: 1},
		{name: "missing means simple/simple", change: form("", true, true, ""), asked: 1},
		{name: "missing does not mean relaxed", change: form("", false, false, ""), err: dkim.ErrSignature, asked: 1},
		{name: "empty", change: form("c=; ", true, true, ""), err: dkim.ErrSyntax},
		{name: "unknown", change: form("c=pancake/waffle; ", false, false, ""), err: dkim.ErrSyntax},
		{name: "c= in a seal does not matter", change: inSeal("s=arc;", "s=arc; c=simple;"), asked: 1},
		{name: "field unfolded and spaced", change: afterwards(1, "To: list", "TO :\t \r\n  list"), asked: 1},
		{name: "seal refolded", change: tamper(0, edit(0, "; s=arc;", ";\r\n \t s=arc;   ")), asked: 1},
		{name: "name of the seal in upper case", change: tamper(0, edit(0, "ARC-Seal: ", "ARC-SEAL:\r\n\t")), asked: 1},
		{name: "value of the seal in upper case", change: tamper(0, edit(0, "d=aa.example", "d=AA.example")),
			err: dkim.ErrSignature, asked: 1},
	}
}

// valueRules are RFC 6376 §3.5 on the other tags, for both signatures where they have them.
func valueRules() []rule {
	t := fmt.Sprintf("t=%d;", then.Unix())
	rules := []rule{
		{name: "bh= missing", change: inMessage("bh=BODYHASH;", ""), err: dkim.ErrSyntax},
		{name: "bh= empty", change: inMessage("bh=BODYHASH;", "bh=;"), err: dkim.ErrSyntax},
		{name: "bh= not base64", change: inMessage("bh=BODYHASH;", "bh=not_base_64;"), err: dkim.ErrSyntax},
		{name: "bh= with white space", change: inMessage("bh=BODYHASH;", "bh= BODYHASH\r\n ;"), asked: 1},
		{name: "bh= of something else", change: inMessage("bh=BODYHASH;", "bh=Z3JlbWxpbnM=;"), err: dkim.ErrBody},
		{name: "l= is the whole body", change: inMessage("bh=", "l=14; bh="), asked: 1},
		{name: "l= is no number", change: inMessage("bh=", "l=all; bh="), err: dkim.ErrSyntax},
		{name: "l= larger than the body", change: inMessage("bh=", "l=15; bh="), err: dkim.ErrBodyLength},
		{name: "x= before t=", change: inMessage("bh=", fmt.Sprintf("x=%d; bh=", then.Unix()-1)), err: dkim.ErrSyntax},
		{name: "x= has passed", change: inMessage(t, fmt.Sprintf("x=%d;", then.Unix()-3601)), err: dkim.ErrExpired},
		{name: "x= has just passed", change: inMessage(t, fmt.Sprintf("x=%d;", then.Unix()-3600)), asked: 1},
		{name: "x= lies ahead", change: inMessage("bh=", fmt.Sprintf("x=%d; bh=", then.Unix()+1)), asked: 1},
		{name: "q= is known", change: inMessage("bh=", "q=dns/txt; bh="), asked: 1},
		{name: "q= is unknown", change: inMessage("bh=", "q=pigeon; bh="), err: dkim.ErrSyntax},
	}
	for where, change := range map[string]func(old, with string) func(*forgery){"message signature": inMessage, "seal": inSeal} {
		rules = append(rules, []rule{
			{name: "a= missing in " + where, change: change("a=rsa-sha256; ", ""), err: dkim.ErrSyntax},
			{name: "a= empty in " + where, change: change("a=rsa-sha256; ", "a=; "), err: dkim.ErrSyntax},
			{name: "b= missing in " + where, change: change(";\r\n\tb=SIG", ""), err: dkim.ErrSyntax},
			{name: "b= empty in " + where, change: change("b=SIG", "b="), err: dkim.ErrSyntax},
			{name: "b= not base64 in " + where, change: change("b=SIG", "b=yo-mama"), err: dkim.ErrSyntax},
			{name: "b= of something else in " + where, change: change("b=SIG", "b=Z3JlbWxpbnM="), err: dkim.ErrSignature, asked: 1},
			{name: "d= missing in " + where, change: change("d=aa.example; ", ""), err: dkim.ErrSyntax},
			{name: "d= empty in " + where, change: change("d=aa.example; ", "d=; "), err: dkim.ErrSyntax},
			{name: "d= no domain in " + where, change: change("d=aa.example; ", "d=***; "), err: dkim.ErrSyntax},
			{name: "d= with empty labels in " + where, change: change("d=aa.example; ", "d=example...; "), err: dkim.ErrSyntax},
			{name: "d= in upper case in " + where, change: change("d=aa.example; ", "d=AA.Example; "), asked: 1},
			{name: "s= missing in " + where, change: change("s=arc; ", ""), err: dkim.ErrSyntax},
			{name: "s= empty in " + where, change: change("s=arc; ", "s=; "), err: dkim.ErrSyntax},
			{name: "t= missing in " + where, change: change(" "+t, ""), asked: 1},
			{name: "t= empty in " + where, change: change(t, "t=;"), err: dkim.ErrSyntax},
			{name: "t= no number in " + where, change: change(t, "t=icecream;"), err: dkim.ErrSyntax},
			{name: "t= with a space in " + where, change: change(t, "t=12 345;"), err: dkim.ErrSyntax},
			{name: "t= a little ahead in " + where, change: change(t, fmt.Sprintf("t=%d;", then.Unix()+3600)), asked: 1},
			{name: "t= far ahead in " + where, change: change(t, fmt.Sprintf("t=%d;", then.Unix()+3601)), err: dkim.ErrFuture},
			{name: "t= very long in " + where, change: change(t, "t=0000000000000000000000012345;"), asked: 1},
		}...)
	}
	return rules
}
