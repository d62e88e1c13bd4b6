// Package child runs the server of a benchmark in a process of its own, so that what it costs is measured apart from the
// client: its CPU time, its memory, its goroutines. The program executes itself again with a role as its argument.
package child

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// marker in front of the role is the argument by which a program knows that it is a child.
const marker = "role:"

// Server is what a role runs.
type Server struct {
	// Addr is where it listens.
	Addr string
	// Ask answers a question of the parent's beyond those that each child answers (see [Process.Usage]); nil: there are none.
	Ask func(question string) (answer any, err error)
}

// Role starts a server. The arguments are those given to [Start].
type Role func(args []string) (*Server, error)

// answer is what a child writes for each question, one a line; the first, unasked, has the address.
type answer struct {
	Value json.RawMessage
	Error string
}

// Main runs the role that the arguments of the program name, until its parent closes the pipe, and then exits; it returns at
// once if they name none. Call it first in main.
func Main(roles map[string]Role) {
	if len(os.Args) < 2 {
		return
	}
	name, found := strings.CutPrefix(os.Args[1], marker)
	if !found {
		return
	}
	if err := run(roles[name], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run is the child's side.
func run(role Role, args []string) error {
	if role == nil {
		return errors.New("no such role")
	}
	server, err := role(args)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := put(out, server.Addr, nil); err != nil {
		return err
	}
	for questions := bufio.NewScanner(os.Stdin); questions.Scan(); {
		value, err := reply(server, questions.Text())
		if err := put(out, value, err); err != nil {
			return err
		}
	}
	return nil
}

// usage is the question for [Process.Usage].
const usage = "usage"

func reply(server *Server, question string) (any, error) {
	switch {
	case question == usage:
		return measure()
	case server.Ask == nil:
		return nil, errors.New("no questions")
	}
	return server.Ask(question)
}

func put(out *json.Encoder, value any, err error) error {
	if err != nil {
		return out.Encode(answer{Error: err.Error()})
	}
	raw, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return out.Encode(answer{Value: raw})
}

// Process is a child as its parent sees it.
type Process struct {
	// Addr is where its server listens.
	Addr string

	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

// Start runs a role in a child. Close ends it.
func Start(role string, args ...string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{marker + role}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, in: in, out: json.NewDecoder(out)}
	if err := p.read(&p.Addr); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Ask asks the child and puts its answer into value.
func (p *Process) Ask(question string, value any) error {
	if _, err := io.WriteString(p.in, question+"\n"); err != nil {
		return err
	}
	return p.read(value)
}

func (p *Process) read(value any) error {
	var a answer
	if err := p.out.Decode(&a); err != nil {
		return err
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return json.Unmarshal(a.Value, value)
}

// Usage is what the child has used so far.
func (p *Process) Usage() (Usage, error) {
	var u Usage
	err := p.Ask(usage, &u)
	return u, err
}

// Close ends the child.
func (p *Process) Close() error { return errors.Join(p.in.Close(), p.cmd.Wait()) }
