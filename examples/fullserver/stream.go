package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// streamCommand is a command that may take long, or whose data goes through the control socket: it works inside the server
// that runs or, if none does, on the files, and tells meanwhile how far it is. Where a file is the user's, the user's own process opens
// it: only a stream goes to the server and comes from it.
type streamCommand interface {
	streamOn(ctx context.Context, a *app, s *serverStream) error
}

// dataReceiver is a streamCommand whose data comes from the server.
type dataReceiver interface {
	receive(ctx context.Context, p *process, r io.Reader) error
}

// dataSender is a streamCommand whose data goes to the server.
type dataSender interface {
	send(ctx context.Context, p *process, w io.Writer) error
}

// pathTaker is a command with paths that the server opens; they are seen from the folder in which the command was given.
type pathTaker interface{ resolvePaths(folder string) }

// What goes through the socket after the request are frames: an octet that says what it is, four with the length, and what it is.
const (
	frameOutput   = 'o' // text for standard output
	frameNote     = 'n' // a warning
	frameProgress = 'p' // a progressReport
	frameGo       = 'g' // the server takes data
	frameData     = 'd'
	frameEnd      = 'z' // of the data
	frameFailed   = 'x' // the data ends with an error, in words
	frameResult   = 'r' // an error in words, or nothing: the command has ended

	// maxFrame is the longest frame, and dataFrame how much data is in one.
	maxFrame  = 1 << 20
	dataFrame = 64 << 10
)

// progressReport says how far a command is.
type progressReport struct {
	Done  int    `json:"done"`
	Total int    `json:"total"` // 0: unknown
	What  string `json:"what,omitempty"`
}

// frames writes and reads frames.
type frames struct {
	conn net.Conn
	mu   sync.Mutex // held while one is written
}

func (f *frames) write(kind byte, payload []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	head := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(payload)))
	_, err := f.conn.Write(append(head, payload...))
	return err
}

func (f *frames) read() (kind byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(f.conn, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame {
		return 0, nil, fmt.Errorf("control socket: frame of %d octets", n)
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(f.conn, payload); err != nil {
		return 0, nil, err
	}
	return head[0], payload, nil
}

// frameWriter makes frames of what is written.
type frameWriter struct {
	to   *frames
	kind byte
}

func (w frameWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), dataFrame)]
		if err := w.to.write(w.kind, part); err != nil {
			return n, err
		}
		n, p = n+len(part), p[len(part):]
	}
	return n, nil
}

// serverStream is what a streamCommand works with.
type serverStream struct {
	frames *frames
	in     *io.PipeReader // data from the command's process

	mu   sync.Mutex
	last time.Time // when progress was told
}

// progressInterval is how often progress is told.
const progressInterval = 200 * time.Millisecond

// out is for standard output.
func (s *serverStream) out() io.Writer { return frameWriter{s.frames, frameOutput} }

// data goes to the command's process.
func (s *serverStream) data() io.Writer { return frameWriter{s.frames, frameData} }

// endData ends it.
func (s *serverStream) endData() error { return s.frames.write(frameEnd, nil) }

// input asks for the data of the command's process.
func (s *serverStream) input() (io.Reader, error) { return s.in, s.frames.write(frameGo, nil) }

// note warns whoever gave the command.
func (s *serverStream) note(format string, args ...any) {
	_ = s.frames.write(frameNote, fmt.Appendf(nil, format, args...)) // who does not listen has gone, and ctx ends
}

// progress tells how far the command is, not too often.
func (s *serverStream) progress(r progressReport) {
	s.mu.Lock()
	due := time.Since(s.last) >= progressInterval || r.Done == r.Total
	if due {
		s.last = time.Now()
	}
	s.mu.Unlock()
	if data, err := json.Marshal(r); err == nil && due {
		_ = s.frames.write(frameProgress, data)
	}
}

// answerStream runs a command for whoever is at the other end of conn. It ends when that process does.
func (a *app) answerStream(ctx context.Context, conn net.Conn, command streamCommand) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends what reads or writes
	defer stop()
	in, feed := io.Pipe()
	s := &serverStream{frames: &frames{conn: conn}, in: in}
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		feed.CloseWithError(takeData(s.frames, feed, cancel))
	}()
	err := command.streamOn(ctx, a, s)
	_ = in.CloseWithError(errors.New("the command has ended"))
	text := ""
	if err != nil {
		text = err.Error()
	}
	if ctx.Err() != nil { // the other end has gone, or the server stops
		<-reading
		return nil
	}
	err = s.frames.write(frameResult, []byte(text))
	_ = conn.SetReadDeadline(time.Now().Add(lingerTime)) // the other end closes, once it has read what there is
	<-reading
	return err
}

// lingerTime is how long a command's process may take to end after it was told that the command has.
const lingerTime = 10 * time.Second

// takeData passes on the data that comes. When the other end goes it calls gone.
func takeData(f *frames, to io.Writer, gone func()) error {
	ended := false
	for {
		kind, payload, err := f.read()
		if err != nil {
			gone()
			if ended {
				return nil
			}
			return fmt.Errorf("the command has gone: %w", io.ErrUnexpectedEOF)
		}
		switch kind {
		case frameData:
			if _, err := to.Write(payload); err != nil {
				continue // nobody wants it any more; the end is still waited for
			}
		case frameEnd:
			ended = true
			if closer, ok := to.(io.Closer); ok {
				_ = closer.Close()
			}
		case frameFailed:
			if pipe, ok := to.(*io.PipeWriter); ok {
				_ = pipe.CloseWithError(errors.New(string(payload)))
			}
			ended = true
		}
	}
}

// runStream runs a streamCommand where the data is.
func (p *process) runStream(ctx context.Context, c *config, command streamCommand) int {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	folder, err := os.Getwd()
	if err != nil {
		return p.fail(err, exitError)
	}
	if taker, ok := command.(pathTaker); ok {
		taker.resolvePaths(folder)
	}
	request := controlRequest{Args: p.args, Stream: true, Folder: folder}
	if request.Secrets, err = p.takeSecrets(command); err != nil {
		return p.fail(err, exitError)
	}
	err = p.streamTo(ctx, c, command, request)
	if errors.Is(err, errNotRunning) {
		if err = p.streamHere(ctx, c, command); errors.Is(err, errAnswers) { // it began to run meanwhile
			err = p.streamTo(ctx, c, command, request)
		}
	}
	if err != nil {
		return p.fail(err, exitError)
	}
	return exitOK
}

// streamTo has the server that runs do a command.
func (p *process) streamTo(ctx context.Context, c *config, command streamCommand, request controlRequest) error {
	conn, err := connectControl(c)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return p.follow(ctx, conn, command)
}

// streamHere opens the data and does the command in this process.
func (p *process) streamHere(ctx context.Context, c *config, command streamCommand) error {
	a, err := openHere(ctx, c)
	if err != nil {
		return err
	}
	here, there := net.Pipe()
	var work sync.WaitGroup
	work.Go(func() { _ = a.answerStream(ctx, there, command) }) // what fails is seen here
	err = p.follow(ctx, here, command)
	_ = here.Close()
	work.Wait()
	return errors.Join(err, a.close())
}

// follow does the part of a command that is this process', until the server has done its own.
func (p *process) follow(ctx context.Context, conn net.Conn, command streamCommand) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	f := &follower{p: p, frames: &frames{conn: conn}, command: command, bar: newProgressBar(p.stderr)}
	err := f.run(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// follower is the command's end of a stream.
type follower struct {
	p       *process
	frames  *frames
	command streamCommand
	bar     *progressBar

	data  *io.PipeWriter // to who receives; nil: nobody does
	work  sync.WaitGroup
	local error // of what this process does with the data
}

func (f *follower) run(ctx context.Context) error {
	if receiver, ok := f.command.(dataReceiver); ok {
		r, w := io.Pipe()
		f.data = w
		f.work.Go(func() {
			f.local = receiver.receive(ctx, f.p, r)
			_ = r.CloseWithError(errors.Join(f.local, io.ErrClosedPipe)) // nobody reads any more
			if f.local != nil {
				_ = f.frames.conn.Close() // the server need not go on
			}
		})
	}
	result, err := f.frameLoop(ctx)
	if f.data != nil {
		end := err
		if end == nil && result != nil {
			end = result
		}
		_ = f.data.CloseWithError(end) // nil is the end
	}
	if err != nil || result != nil {
		_ = f.frames.conn.Close()
	}
	f.work.Wait()
	f.bar.end()
	_, sends := f.command.(dataSender)
	switch {
	case sends && f.local != nil: // that is why the server fails
		return f.local
	case result != nil:
		return result
	case f.local != nil:
		return f.local
	}
	return err
}

// frameLoop takes what the server sends until the command has ended, with a result or without.
func (f *follower) frameLoop(ctx context.Context) (result, err error) {
	for {
		kind, payload, err := f.frames.read()
		if err != nil {
			return nil, fmt.Errorf("the server has gone: %w", err)
		}
		switch kind {
		case frameOutput:
			f.bar.clear()
			_, _ = f.p.stdout.Write(payload)
		case frameNote:
			f.bar.clear()
			fmt.Fprintln(f.p.stderr, "fullserver: warning:", string(payload))
		case frameProgress:
			var r progressReport
			if json.Unmarshal(payload, &r) == nil {
				f.bar.show(r)
			}
		case frameGo:
			f.sendData(ctx)
		case frameData:
			if f.data != nil {
				if _, err := f.data.Write(payload); err != nil {
					return nil, err
				}
			}
		case frameEnd:
			if f.data != nil {
				_ = f.data.Close()
			}
		case frameResult:
			if len(payload) > 0 {
				return errors.New(string(payload)), nil
			}
			return nil, nil
		}
	}
}

// sendData begins to send.
func (f *follower) sendData(ctx context.Context) {
	sender, ok := f.command.(dataSender)
	if !ok {
		return
	}
	f.work.Go(func() {
		err := sender.send(ctx, f.p, frameWriter{f.frames, frameData})
		if err == nil {
			_ = f.frames.write(frameEnd, nil) // if the server has ended, it says why
		} else if f.frames.write(frameFailed, []byte(err.Error())) == nil {
			f.local = err
		}
	})
}
