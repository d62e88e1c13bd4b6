package reporting

import (
	"fmt"
	"time"

	"github.com/mailbricks/mailbricks/internal/durable"
)

// SetFS has a Reporter use other files.
func SetFS(r *Reporter, fs durable.FS) { r.fs = fs }

// SetClock has it use another clock.
func SetClock(r *Reporter, now func() time.Time) { r.now = now }

// RewriteAlways has it write a day's file anew with each change, RewriteAbove when it has grown above a size.
func RewriteAlways(r *Reporter)            { r.minRewrite = 1 }
func RewriteAbove(r *Reporter, size int64) { r.minRewrite = size }

// Suppressed opens a Reporter that suppresses n addresses.
func Suppressed(r *Reporter, n int, until time.Time) {
	if err := r.Open(); err != nil {
		panic(err)
	}
	for i := range n {
		r.suppressed.until[fmt.Sprintf("a%d@example.com", i)] = until
	}
}

// Mailbox is what stands behind "From: ".
func Mailbox(name, address string) string { return mailbox(name, address) }

// Organization is on whose account a policy domain goes.
func Organization(domain string) string { return organization(domain).name }
