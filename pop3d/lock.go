package pop3d

import (
	"errors"
	"sync"
	"time"
)

// errInUse: another session has the maildrop.
var errInUse = errors.New("pop3d: maildrop is in use")

// locks are the maildrops that are in use (RFC 1939 §4), and who has just used theirs. The zero value has none.
type locks struct {
	mu     sync.Mutex
	inUse  map[string]struct{} // by user
	logins logins
}

// lock takes the exclusive-access lock on a user's maildrop. It fails with errInUse while another session has it, and with
// errTooSoon within delay of the last log-in.
func (l *locks) lock(user string, delay time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, taken := l.inUse[user]; taken {
		return errInUse
	}
	if l.logins.tooSoon(user, delay) {
		return errTooSoon
	}
	if l.inUse == nil {
		l.inUse = make(map[string]struct{})
	}
	l.inUse[user] = struct{}{}
	return nil
}

// unlock gives the lock back.
func (l *locks) unlock(user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.inUse, user)
}

// loggedIn remembers a log-in, which makes others within delay come too soon.
func (l *locks) loggedIn(user string, delay time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logins.note(user, delay)
}
