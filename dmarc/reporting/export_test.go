package reporting

import (
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// SetFS has a Reporter use other files.
func SetFS(r *Reporter, fs durable.FS) { r.fs = fs }

// SetClock has it use another clock.
func SetClock(r *Reporter, now func() time.Time) { r.now = now }

// RewriteAlways has it write a day's file anew with each change.
func RewriteAlways(r *Reporter) { r.minRewrite = 1 }
