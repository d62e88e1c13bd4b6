package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/maildir"
)

// The file of the server's key has its name and version, and a line with the key in base64.
const (
	serverKeyName    = "mailbricks-server-key"
	serverKeyVersion = 1
	maxServerKeyFile = 4096
)

// absolutePath takes the path of a file.
func absolutePath(s string) error {
	if !filepath.IsAbs(s) {
		return fmt.Errorf("%q is no absolute path", s)
	}
	return nil
}

// readServerKey reads the server's key; nil: there is none.
func (e *encryptionConfig) readServerKey() ([]byte, error) {
	if e.serverKey == "" {
		return nil, nil
	}
	key, err := readServerKey(e.serverKey)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("encryption.server_key: %w; fullserver encrypt server-key makes one", err)
	}
	if err != nil {
		return nil, fmt.Errorf("encryption.server_key: %w", err)
	}
	return key, nil
}

func readServerKey(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others: its mode is %v and should be 0600", path, info.Mode().Perm())
	}
	data, err := durable.ReadFile(durable.OS(), path, maxServerKeyFile)
	if err != nil {
		return nil, err
	}
	return parseServerKey(data)
}

func parseServerKey(data []byte) ([]byte, error) {
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	if err := durable.CheckFormat(bytes.TrimSuffix(head, []byte("\r")), serverKeyName, serverKeyVersion); err != nil {
		return nil, fmt.Errorf("no key of a server that this version knows: %w", err)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSpace(rest)))
	if err != nil || len(key) != maildir.ServerKeySize {
		return nil, errors.New("damaged key of a server")
	}
	return key, nil
}

func formatServerKey(key []byte) []byte {
	return fmt.Appendf(nil, "%s %d\n%s\n", serverKeyName, serverKeyVersion, base64.StdEncoding.EncodeToString(key))
}

// encryptServerKey makes the file.
type encryptServerKey struct {
	File string `arg:"" help:"It must not be there, and better not be in data_dir or its backups."`
}

func (c *encryptServerKey) run(_ context.Context, p *process, _ *config) (err error) {
	key := make([]byte, maildir.ServerKeySize)
	_, _ = rand.Read(key) // never fails
	f, err := os.OpenFile(c.File, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(formatServerKey(key))
	if err = errors.Join(err, f.Sync(), f.Close(), durable.OS().SyncDir(filepath.Dir(c.File))); err != nil {
		return errors.Join(err, os.Remove(c.File))
	}
	path, err := filepath.Abs(c.File)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "Made. Keep a copy of it elsewhere, and put this into the configuration, under [encryption]:\n\n    server_key = %q\n", path)
	return err
}

// printRecovery shows a recovery key, for the only time.
func printRecovery(out io.Writer, address, recovery string) error {
	_, err := fmt.Fprintf(out, `The recovery key of %s, which is shown only now:

    %s

Write it down and keep it elsewhere. Without it, who loses the password loses the mail.
`, address, recovery)
	return err
}
