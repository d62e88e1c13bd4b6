package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Bounds of the control socket.
const (
	controlTimeout    = 2 * time.Minute
	maxControlRequest = 1 << 20
	acceptPause       = time.Second // after an accept that failed
)

// dataCommand is a command that works on the data of a server: inside the one that runs or, if none does, on the files.
type dataCommand interface {
	runOn(ctx context.Context, a *app, out io.Writer) error
}

// secretTaker is a command that needs passwords or the like, which may be on its command line.
type secretTaker interface{ secrets() []secret }

// controlRequest is what a command sends to the server that runs.
type controlRequest struct {
	Args    []string `json:"args"`
	Secrets []string `json:"secrets,omitempty"`
	// Stream says that the answer is frames, for a streamCommand that was given in Folder.
	Stream bool   `json:"stream,omitempty"`
	Folder string `json:"folder,omitempty"`
}

// controlResponse is the answer.
type controlResponse struct {
	Output string   `json:"output"`
	Notes  []string `json:"notes,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// output is what a command writes.
type output struct {
	bytes.Buffer
	notes []string
}

// note warns whoever gave a command of something that does not keep it from being done.
func note(out io.Writer, format string, args ...any) {
	if o, ok := out.(*output); ok {
		o.notes = append(o.notes, fmt.Sprintf(format, args...))
	}
}

// runData runs a command where the data is.
func (p *process) runData(ctx context.Context, c *config, command dataCommand) int {
	request := controlRequest{Args: p.args}
	var err error
	if request.Secrets, err = p.takeSecrets(command); err != nil {
		return p.fail(err, exitError)
	}
	response, err := askServer(c, request)
	if errors.Is(err, errNotRunning) {
		if response, err = runHere(ctx, c, command); errors.Is(err, errAnswers) { // it began to run meanwhile
			response, err = askServer(c, request)
		}
	}
	if err != nil {
		return p.fail(err, exitError)
	}
	for _, text := range response.Notes {
		fmt.Fprintln(p.stderr, "fullserver: warning:", text)
	}
	_, _ = io.WriteString(p.stdout, response.Output)
	if response.Error != "" {
		return p.fail(errors.New(response.Error), exitError)
	}
	return exitOK
}

// takeSecrets reads what a command needs of secrets, for this process and for the server.
func (p *process) takeSecrets(command any) (values []string, err error) {
	taker, ok := command.(secretTaker)
	if !ok {
		return nil, nil
	}
	if err := p.readSecrets(taker.secrets()); err != nil {
		return nil, err
	}
	for _, s := range taker.secrets() {
		values = append(values, *s.to)
	}
	return values, nil
}

// giveSecrets gives a command what its own process has read.
func (r *controlRequest) giveSecrets(command any) error {
	taker, ok := command.(secretTaker)
	if !ok {
		return nil
	}
	list := taker.secrets()
	if len(list) != len(r.Secrets) {
		return errors.New("the server that runs is of another version than this command")
	}
	for i, s := range list {
		*s.to = r.Secrets[i]
	}
	return nil
}

// runHere opens the data, runs the command and closes the data.
func runHere(ctx context.Context, c *config, command dataCommand) (controlResponse, error) {
	a, err := openHere(ctx, c)
	if err != nil {
		return controlResponse{}, err
	}
	response := respond(ctx, a, command)
	if err := a.close(); err != nil { // what the command did is on disk already
		a.log.Warn("closing the data", "error", err)
	}
	return response, nil
}

// openHere opens the data for a command in this process.
func openHere(ctx context.Context, c *config) (*app, error) {
	if c.tryIt {
		if _, err := os.Stat(c.dataDir); err != nil {
			return nil, errors.New("no configuration here: name one with -config, or run fullserver without a command to try it out")
		}
	}
	if err := becomeUser(c); err != nil {
		return nil, err
	}
	lock, err := lockData(ctx, c)
	if err != nil {
		return nil, err
	}
	a, err := openApp(c.quiet(), lock)
	if err != nil {
		return nil, err
	}
	a.logging.level.Set(slog.LevelError) // what the command does it says itself
	return a, nil
}

// quiet is the configuration with warnings and errors as all that is logged.
func (c *config) quiet() *config {
	q := *c
	if q.log.level == "info" || q.log.level == "debug" {
		q.log.level = "warn"
	}
	return &q
}

func respond(ctx context.Context, a *app, command dataCommand) controlResponse {
	var out output
	err := command.runOn(ctx, a, &out)
	response := controlResponse{Output: out.String(), Notes: out.notes}
	if err != nil {
		response.Error = err.Error()
	}
	return response
}

// errNotRunning says that no server runs on the data.
var errNotRunning = errors.New("no server is running")

// askServer hands a command to the server that runs.
func askServer(c *config, request controlRequest) (response controlResponse, err error) {
	conn, err := connectControl(c)
	if err != nil {
		return response, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return response, err
	}
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return response, fmt.Errorf("control socket: %w", err)
	}
	if err := json.NewDecoder(conn).Decode(&response); err != nil {
		return response, fmt.Errorf("control socket: %w", err)
	}
	return response, nil
}

// connectControl connects to the server that runs; errNotRunning if none does.
func connectControl(c *config) (net.Conn, error) {
	conn, err := dialControl(c.path("state"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, errNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return conn, nil
}

// controlName is the socket's name in the folder state.
const controlName = "control.sock"

// longestSocketPath is what fits in a socket address everywhere.
const longestSocketPath = 100

// viaFolder calls use with a path of the socket that is short enough for a socket address, whatever the folder's is.
func viaFolder(dir string, use func(path string) error) error {
	path := filepath.Join(dir, controlName)
	if len(path) <= longestSocketPath {
		return use(path)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return use(fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), controlName))
}

func dialControl(dir string) (conn net.Conn, err error) {
	err = viaFolder(dir, func(path string) error {
		conn, err = net.Dial("unix", path)
		return err
	})
	return conn, err
}

// listenControl opens the control socket, over one that a killed server left: whoever holds the lock is alone.
func listenControl(dir string) (ln net.Listener, err error) {
	err = viaFolder(dir, func(path string) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if ln, err = net.Listen("unix", path); err != nil {
			return err
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false) // its path may be good only within viaFolder
	return ln, nil
}

// serveControl answers commands until ln is closed.
func (a *app) serveControl(ctx context.Context, ln net.Listener) {
	for {
		conn, err := ln.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // too many open files, say
			a.log.Warn("control socket", "error", err)
			select {
			case <-time.After(acceptPause):
			case <-ctx.Done():
			}
			continue
		}
		a.background.Go(func() {
			defer conn.Close()
			if err := a.answerControl(ctx, conn); err != nil {
				a.log.Warn("control socket", "error", err)
			}
		})
	}
}

func (a *app) answerControl(ctx context.Context, conn net.Conn) error {
	if err := conn.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return err
	}
	var request controlRequest
	err := json.NewDecoder(io.LimitReader(conn, maxControlRequest)).Decode(&request)
	if errors.Is(err, io.EOF) { // somebody wanted to know whether this server runs
		return nil
	}
	if err != nil {
		return err
	}
	if request.Stream {
		return a.executeStream(ctx, conn, request)
	}
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	return json.NewEncoder(conn).Encode(a.execute(ctx, request))
}

// executeStream runs a streamCommand that came over the control socket, for as long as it takes.
func (a *app) executeStream(ctx context.Context, conn net.Conn, request controlRequest) error {
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	command, err := requested(request)
	if err == nil {
		if stream, ok := command.(streamCommand); ok {
			if taker, ok := command.(pathTaker); ok {
				taker.resolvePaths(request.Folder)
			}
			if err = request.giveSecrets(command); err == nil {
				return a.answerStream(ctx, conn, stream)
			}
		} else {
			err = errNotForServer
		}
	}
	return (&frames{conn: conn}).write(frameResult, []byte(err.Error()))
}

// errNotForServer refuses commands that a server does not do.
var errNotForServer = errors.New("this command is not for a running server")

// errHelp says that help was asked for; the command's own process has shown it.
var errHelp = errors.New("help was asked for")

// requested is the command that a request is about.
func requested(request controlRequest) (command any, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case exited:
			err = errHelp
		default:
			panic(r)
		}
	}()
	_, parsed, err := parse(request.Args, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	return parsed.Selected().Target.Addr().Interface(), nil
}

// execute runs a command that came over the control socket.
func (a *app) execute(ctx context.Context, request controlRequest) controlResponse {
	found, err := requested(request)
	if errors.Is(err, errHelp) {
		return controlResponse{}
	}
	if err != nil {
		return controlResponse{Error: err.Error()}
	}
	command, ok := found.(dataCommand)
	if !ok {
		return controlResponse{Error: errNotForServer.Error()}
	}
	if err := request.giveSecrets(command); err != nil {
		return controlResponse{Error: err.Error()}
	}
	return respond(ctx, a, command)
}
