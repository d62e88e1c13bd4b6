package serving

import (
	"log/slog"
	"os"
	"time"
)

// Limit gives the value of a limit: its default for 0. A negative one stays and is none; see [Over] and [Reached].
func Limit[N int | int64](given, otherwise N) N {
	if given == 0 {
		return otherwise
	}
	return given
}

// Over says whether n is beyond limit; nothing is beyond a negative one.
func Over[N int | int64](n, limit N) bool { return limit >= 0 && n > limit }

// Reached says whether n is the last that limit allows, or beyond it; a negative limit is never reached.
func Reached[N int | int64](n, limit N) bool { return limit >= 0 && n >= limit }

// Positive gives the value of what cannot be switched off: its default for 0 or less.
func Positive[T int | float64 | time.Duration](given, otherwise T) T {
	if given <= 0 {
		return otherwise
	}
	return given
}

// Timeout gives the value of a time-out: its default for 0 or less.
func Timeout(given, otherwise time.Duration) time.Duration { return Positive(given, otherwise) }

// Hostname is the name given or, if that is empty, the system's name for itself.
func Hostname(given string) string {
	if given != "" {
		return given
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "localhost"
	}
	return name
}

// Logger is the logger given or, if that is nil, one that discards.
func Logger(given *slog.Logger) *slog.Logger {
	if given == nil {
		return slog.New(slog.DiscardHandler)
	}
	return given
}
