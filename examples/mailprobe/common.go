package main

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/resolver"
)

// output are the options of what is printed.
type output struct {
	JSON bool `name:"json" help:"Print all that is known as JSON."`
}

// questions are the options of commands that ask the DNS.
type questions struct {
	Resolver string `placeholder:"HOST:PORT" help:"The DNS server to ask (default: the system's)."`
}

// dns is the resolver to ask.
func (q questions) dns() *resolver.Resolver {
	if q.Resolver == "" {
		return &resolver.Resolver{}
	}
	return &resolver.Resolver{Servers: []string{q.Resolver}}
}

// clock is the option for another time than now.
type clock struct {
	Time *int64 `placeholder:"UNIX" help:"The time that signatures are judged at, or made (default: now)."`
}

// now is the clock for the packages, nil for the real one.
func (c clock) now() func() time.Time {
	if c.Time == nil {
		return nil
	}
	return func() time.Time { return time.Unix(*c.Time, 0) }
}

// message is an opened message file.
type message struct {
	*os.File
	temporary bool
}

// open opens a message, which stays in its file. Standard input is copied to one, so that it can be read twice.
func (p *process) open(name string) (*message, error) {
	if name != "-" {
		f, err := os.Open(name)
		return &message{File: f}, err
	}
	f, err := os.CreateTemp("", "mailprobe-*")
	if err != nil {
		return nil, err
	}
	m := &message{File: f, temporary: true}
	_, err = io.Copy(f, p.stdin)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// parse reads the header. The message stays valid as long as the file is open.
func (m *message) parse() (*mailbricks.Message, error) {
	info, err := m.Stat()
	if err != nil {
		return nil, err
	}
	return new(mailbricks.Spool).Open(m, info.Size(), nil)
}

// Close closes the file and removes it if it is ours.
func (m *message) Close() error {
	err := m.File.Close()
	if m.temporary {
		err = errors.Join(err, os.Remove(m.Name()))
	}
	return err
}
