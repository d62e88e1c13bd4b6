package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/mailbricks/mailbricks/auth"
)

type pwVerify struct {
	output
	Hash string `arg:"" help:"The hash as it is stored, {SCHEME} in front of it or not."`
}

// errNoMatch is the answer no, which is silent.
var errNoMatch = errors.New("the password does not fit")

func (c *pwVerify) run(_ context.Context, p *process) error {
	password, err := p.password()
	if err != nil {
		return err
	}
	match, err := auth.VerifyPassword(c.Hash, password)
	if err == nil && c.JSON {
		err = p.json(struct{ Match bool }{match})
	}
	if err == nil && !match {
		return errNoMatch
	}
	return err
}

type pwHash struct {
	output
	Scheme string `enum:"ARGON2ID" default:"ARGON2ID" help:"ARGON2ID, which is the only one for new hashes."`
}

func (c *pwHash) run(_ context.Context, p *process) error {
	password, err := p.password()
	if err != nil {
		return err
	}
	hash, err := auth.HashPassword(password)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return p.json(struct{ Hash string }{hash})
	}
	return p.say(hash)
}

// maxLine is the longest line of standard input, in octets.
const maxLine = 1 << 20

// password is the first line of standard input without its line end.
func (p *process) password() (string, error) {
	text, err := bufio.NewReader(io.LimitReader(p.stdin, maxLine)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r"), nil
}
