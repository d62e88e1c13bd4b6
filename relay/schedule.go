package relay

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Schedule has the waiting times between the attempts of one recipient. After the last of them, that last one is used
// over and over. The empty Schedule is that of [DefaultRetry].
type Schedule []time.Duration

// DefaultRetry is the schedule of a Queue that is given none. It follows RFC 5321 §4.5.4.1: two early attempts within the
// first hour and at most a few hours between later ones.
const DefaultRetry = "5m*3, 15m*4, 1h*8, 4h"

// maxIntervals is the most intervals that a schedule has when it is written out.
const maxIntervals = 1000

// maxInterval is the longest interval that a schedule may have.
const maxInterval = 30 * 24 * time.Hour

// ParseSchedule reads a list of intervals such as "5m*3, 15m*4, 1h*8, 4h", separated by commas: a duration as
// [time.ParseDuration] takes it, or a number of days ("2d"), and how often it is used. Intervals are between one second
// and 30 days.
func ParseSchedule(text string) (Schedule, error) {
	var s Schedule
	for item := range strings.SplitSeq(text, ",") {
		duration, times, counted := strings.Cut(item, "*")
		d, err := parseInterval(strings.TrimSpace(duration))
		if err != nil {
			return nil, fmt.Errorf("relay: schedule %q: %w", text, err)
		}
		n := 1
		if counted {
			n, err = strconv.Atoi(strings.TrimSpace(times))
			if err != nil || n < 1 {
				return nil, fmt.Errorf("relay: schedule %q: bad count %q", text, times)
			}
		}
		if n > maxIntervals-len(s) {
			return nil, fmt.Errorf("relay: schedule %q: more than %d intervals", text, maxIntervals)
		}
		for range n {
			s = append(s, d)
		}
	}
	return s, nil
}

func parseInterval(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 1 || n > int(maxInterval/(24*time.Hour)) {
			return 0, fmt.Errorf("bad interval %q", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Second || d > maxInterval {
		return 0, fmt.Errorf("bad interval %q", text)
	}
	return d, nil
}

// After is how long to wait after the n-th attempt; the first is number 1.
func (s Schedule) After(n int) time.Duration {
	if len(s) == 0 {
		s = defaultSchedule
	}
	return s[min(max(n, 1), len(s))-1]
}

// String writes the schedule in the form that ParseSchedule reads.
func (s Schedule) String() string {
	var items []string
	for i := 0; i < len(s); {
		n := 1
		for i+n < len(s) && s[i+n] == s[i] {
			n++
		}
		item := s[i].String()
		if n > 1 {
			item += "*" + strconv.Itoa(n)
		}
		items = append(items, item)
		i += n
	}
	return strings.Join(items, ", ")
}

// defaultSchedule is DefaultRetry, read. Nothing writes to it.
var defaultSchedule = Schedule{
	5 * time.Minute, 5 * time.Minute, 5 * time.Minute,
	15 * time.Minute, 15 * time.Minute, 15 * time.Minute, 15 * time.Minute,
	time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, time.Hour,
	4 * time.Hour,
}
