package main

import (
	"bufio"
	"context"

	"golang.org/x/net/idna"

	"github.com/mailbricks/mailbricks/smtpd"
)

type addrCommand struct{ output }

func (c *addrCommand) run(_ context.Context, p *process) error {
	return p.lines(c.output, smtpd.ParseAddress)
}

type idnaCommand struct{ output }

func (c *idnaCommand) run(_ context.Context, p *process) error {
	return p.lines(c.output, idna.Lookup.ToASCII)
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
