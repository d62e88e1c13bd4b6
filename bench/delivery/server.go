package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	domain    = "example.com"
	startTime = 60 * time.Second // for a server to answer
	stopTime  = 30 * time.Second // for it to end by itself
	pollTime  = 10 * time.Millisecond
)

// server is a mail server that was started here.
type server struct {
	name string
	addr string // where it listens for SMTP
	mail string // folder with a Maildir for each user

	roots []int          // its processes, without their descendants
	ends  []func() error // end it, the last first
	sent  int            // messages that it has taken
}

// stop ends what was started.
func (s *server) stop() error {
	var errs []error
	for i := len(s.ends) - 1; i >= 0; i-- {
		errs = append(errs, s.ends[i]())
	}
	s.ends = nil
	return errors.Join(errs...)
}

func user(n int) string { return fmt.Sprintf("u%d", n%users+1) }

// messages counts those in all mailboxes, read or not.
func (s *server) messages() (int, error) {
	sum := 0
	for i := range users {
		for _, part := range []string{"new", "cur"} {
			n, err := countFiles(filepath.Join(s.mail, user(i), part))
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

// newest is when a message came into a mailbox last: when its folder changed, since nobody reads the mail.
func (s *server) newest() (last time.Time, err error) {
	for i := range users {
		info, err := os.Stat(filepath.Join(s.mail, user(i), "new"))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has had none
		}
		if err != nil {
			return time.Time{}, err
		}
		if info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last, nil
}

// complete fails unless each message that was taken is there once.
func (s *server) complete() error {
	n, err := s.messages()
	if err == nil && n != s.sent {
		err = fmt.Errorf("%s took %d messages and has %d", s.name, s.sent, n)
	}
	return err
}

// countFiles counts what is in a folder; one that is not there has nothing.
func countFiles(dir string) (int, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return len(names), err
}

// freeAddress finds a port of a loopback address that nobody uses.
func freeAddress(ip string) (string, error) {
	l, err := net.Listen("tcp", ip+":0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// await waits until a server greets.
func await(ctx context.Context, addr string) error {
	for began := time.Now(); ; {
		err := greets(ctx, addr)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if time.Since(began) > startTime {
			return fmt.Errorf("it does not answer: %w", err)
		}
		time.Sleep(pollTime)
	}
}

func greets(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(startTime)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// spawn starts a program whose output goes to a file, and adds it to the server.
func (s *server) spawn(logFile string, name string, args ...string) error {
	log, err := os.Create(logFile)
	if err != nil {
		return err
	}
	defer log.Close() // the program has its own
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.roots = append(s.roots, cmd.Process.Pid)
	s.ends = append(s.ends, func() error { return end(cmd) })
	return nil
}

// end ends a program as an administrator does, and by force where it does not obey.
func end(cmd *exec.Cmd) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(err, cmd.Wait())
	}
	force := time.AfterFunc(stopTime, func() { _ = cmd.Process.Kill() })
	defer force.Stop()
	return cmd.Wait()
}

// command runs a program to its end.
func command(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return nil
}
