package serving

import (
	"fmt"
	"log/slog"
	"runtime/debug"
)

// Panic is what [Guard] makes of a panic.
type Panic struct {
	Step  string // as Guard was told
	Value any    // what panic was called with
}

func (p *Panic) Error() string { return fmt.Sprintf("%s: panic: %v", p.Step, p.Value) }

// Guard runs f and makes a panic in it an error, a [*Panic], and a line in the log with the stack. step says whose code it
// is: "smtpd: session".
func Guard(logger *slog.Logger, step string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			logger.Error(step+": panic", "panic", p, "stack", string(debug.Stack()))
			err = &Panic{step, p}
		}
	}()
	return f()
}
