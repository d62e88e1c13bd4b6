package main

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/mailbricks/mailbricks/dkim"
	"github.com/mailbricks/mailbricks/dkim/arc"
	"github.com/mailbricks/mailbricks/dmarc"
)

// dkimLine tells of one signature.
func dkimLine(r dkim.Result) string {
	if r.Status == dkim.None {
		return "none"
	}
	text := fmt.Sprintf("%s d=%s s=%s a=%s", r.Status, word(r.Domain), word(r.Selector), word(r.Algorithm))
	switch {
	case r.Err != nil:
		text += " " + line(strings.TrimPrefix(r.Err.Error(), "dkim: "))
	case r.BodyUnsigned > 0:
		text += fmt.Sprintf(" the last %d octets of the body are not signed (l=)", r.BodyUnsigned)
	}
	return text
}

// published is the policy as the record has it, "-" where none applies.
func published(v dmarc.Verdict) string {
	switch {
	case v.Result != dmarc.Pass && v.Result != dmarc.Fail:
		return "-"
	case v.TestMode || v.SampledOut:
		return (v.Policy + 1).String()
	}
	return v.Policy.String()
}

// sealRemark is what the one who seals should know of the chain.
func sealRemark(chain arc.Result, fields string) string {
	switch {
	case fields != "" && chain.Err != nil:
		return "sealed with cv=fail: " + chain.Err.Error()
	case fields != "":
		return ""
	case len(chain.Sets) >= arc.MaxSets:
		return fmt.Sprintf("nothing is added: the chain has %d sets, the most there can be", arc.MaxSets)
	}
	return "nothing is added: " + chain.Err.Error()
}

// say prints lines.
func (p *process) say(lines ...string) error {
	_, err := fmt.Fprintln(p.stdout, strings.Join(lines, "\n"))
	return err
}

// line makes one line of text that came from outside.
func line(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, text)
}

// word is a value without white space, "-" where there is none.
func word(text string) string {
	if text == "" {
		return "-"
	}
	return strings.Join(strings.Fields(line(text)), "?")
}
