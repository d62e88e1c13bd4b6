package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// owner is the user and the group that own the mail of Postfix and Dovecot, which both refuse to let root have any: nobody.
const owner = 65534

// masterFile is the list of services that the package installs.
const masterFile = "/etc/postfix/master.cf"

// startVirtual starts a Postfix that writes mail itself.
func startVirtual(ctx context.Context, _ *options, parent string) (*server, error) {
	dir := filepath.Join(parent, "virtual")
	s, err := newPostfix(virtual, "127.73.25.2", dir)
	if err != nil {
		return nil, err
	}
	return s.postfix(ctx, dir, "virtual")
}

// newPostfix makes its folders.
func newPostfix(name, ip, dir string) (*server, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("postfix starts as root only")
	}
	addr, err := freeAddress(ip)
	if err != nil {
		return nil, err
	}
	s := &server{name: name, addr: addr, mail: filepath.Join(dir, "mail")}
	for _, sub := range []string{"", "etc", "queue", "data", "mail"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	postfix, err := osuser.Lookup("postfix")
	if err != nil {
		return nil, fmt.Errorf("postfix is not installed: %w", err)
	}
	uid, err := strconv.Atoi(postfix.Uid)
	if err != nil {
		return nil, err
	}
	return s, errors.Join(os.Chown(filepath.Join(dir, "data"), uid, -1), os.Chown(s.mail, owner, owner))
}

// postfix starts it with the transport to mailboxes. It is as it is by default, without a resolver and without encryption.
func (s *server) postfix(ctx context.Context, dir, transport string) (*server, error) {
	master, err := os.ReadFile(masterFile)
	if err != nil {
		return nil, fmt.Errorf("postfix is not installed: %w", err)
	}
	etc := filepath.Join(dir, "etc")
	var mailboxes strings.Builder
	for i := range users {
		fmt.Fprintf(&mailboxes, "%[1]s@%[2]s %[1]s/\n", user(i), domain)
	}
	for name, text := range map[string]string{
		"master.cf": services(string(master), s.addr), "mailboxes": mailboxes.String(), "main.cf": mainFile(dir, transport),
	} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if err := command(ctx, "postfix", "-c", etc, "start"); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.ends = append(s.ends, func() error { return command(context.WithoutCancel(ctx), "postfix", "-c", etc, "stop") })
	pid, err := readPID(filepath.Join(dir, "queue", "pid", "master.pid"))
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.roots = append(s.roots, pid)
	return s.started(ctx)
}

// mainFile is the configuration.
func mainFile(dir, transport string) string {
	return fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
mail_owner = postfix
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = mail.%[2]s
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
disable_dns_lookups = yes
smtp_host_lookup = native
virtual_mailbox_domains = %[2]s
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = texthash:%[1]s/etc/mailboxes
virtual_uid_maps = static:%[3]d
virtual_gid_maps = static:%[3]d
virtual_transport = %[4]s
`, dir, domain, owner, transport)
}

// services takes a master.cf and has SMTP listen at addr alone, and nothing run in a chroot, where files would be missing.
func services(master, addr string) string {
	var b strings.Builder
	for line := range strings.Lines(master) {
		fields := strings.Fields(line)
		service := len(fields) >= 8 && line[0] != '#' && line[0] != ' ' && line[0] != '\t'
		switch {
		case !service:
			b.WriteString(line) // a comment, or the end of the service before
			continue
		case fields[1] == "inet" && fields[0] == "smtp":
			fields[0] = addr
		case fields[1] == "inet":
			continue
		}
		fields[4] = "n"
		b.WriteString(strings.Join(fields, " ") + "\n")
	}
	return b.String()
}

// readPID reads a file with the number of a process.
func readPID(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}
