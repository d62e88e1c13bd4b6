package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// startLMTP starts a Postfix that hands mail on to a Dovecot over LMTP.
func startLMTP(ctx context.Context, _ *options, parent string) (*server, error) {
	dir := filepath.Join(parent, "lmtp")
	s, err := newPostfix(lmtp, "127.73.25.3", dir)
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(conf, []byte(dovecotFile(dir)), 0o644); err != nil {
		return nil, err
	}
	if err := s.spawn(filepath.Join(dir, "dovecot.out"), "dovecot", "-F", "-c", conf); err != nil {
		return nil, err
	}
	socket := filepath.Join(dir, "run", "lmtp")
	if err := awaitSocket(ctx, socket); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s.postfix(ctx, dir, "lmtp:unix:"+socket)
}

// dovecotFile is the configuration of Dovecot 2.3, as it is by default but for where things are.
func dovecotFile(dir string) string {
	return fmt.Sprintf(`protocols = lmtp
base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/dovecot.log
instance_name = delivery-%[3]d
ssl = no
mail_location = maildir:%[1]s/mail/%%n
first_valid_uid = %[2]d
first_valid_gid = %[2]d
auth_username_format = %%Ln
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=%[2]d gid=%[2]d home=%[1]s/mail/%%n allow_all_users=yes
}
service lmtp {
  unix_listener lmtp {
    mode = 0600
    user = postfix
  }
}
`, dir, owner, os.Getpid())
}

func awaitSocket(ctx context.Context, path string) error {
	for began := time.Now(); ; {
		conn, err := net.Dial("unix", path)
		if err == nil {
			return conn.Close()
		}
		if ctx.Err() != nil || time.Since(began) > startTime {
			return fmt.Errorf("dovecot does not answer: %w", errors.Join(ctx.Err(), err))
		}
		time.Sleep(pollTime)
	}
}
