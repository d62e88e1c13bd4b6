package main

import (
	"bufio"
	"context"
	"errors"

	"golang.org/x/net/idna"

	"github.com/mailbricks/mailbricks/internal/domainname"
	"github.com/mailbricks/mailbricks/smtpd"
)

type addrCommand struct{ output }

func (c *addrCommand) run(_ context.Context, p *process) error {
	return p.lines(c.output, smtpd.ParseAddress)
}

type idnaCommand struct{ output }

func (c *idnaCommand) run(_ context.Context, p *process) error {
	return p.lines(c.output, aLabels)
}

// maxNameText is the longest name that is converted, in octets: four for each that the DNS has room for. Punycode takes
// time in step with the square of a label's length.
const maxNameText = 4 * domainname.MaxName

func aLabels(name string) (string, error) {
	if len(name) > maxNameText {
		return "", errors.New("name is too long")
	}
	return idna.Lookup.ToASCII(name)
}

// lines prints what f makes of each line of standard input.
func (p *process) lines(o output, f func(string) (string, error)) error {
	scanner := bufio.NewScanner(p.stdin)
	scanner.Buffer(nil, maxLine)
	for scanner.Scan() {
		result, err := f(scanner.Text())
		text := line(result)
		if err != nil {
			result, text = "", "error: "+line(err.Error())
		}
		if o.JSON {
			err = p.json(struct {
				Input, Result string
				Err           error
			}{scanner.Text(), result, err})
		} else {
			err = p.say(text)
		}
		if err != nil {
			return err
		}
	}
	return scanner.Err()
}
