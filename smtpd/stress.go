package smtpd

import (
	"fmt"
	"math"
	"time"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// stressSettings are the Stress fields of a Server with their defaults filled in.
type stressSettings struct {
	commandTime, dataTime, writeTime, maxTarpit                   time.Duration
	maxErrors, maxBadRecipients, maxAuthFailures, maxIdleCommands int
	maxDeferred                                                   int
}

func (s *Server) stressSettings() stressSettings {
	return stressSettings{
		commandTime:      serving.Timeout(s.StressCommandTimeout, DefaultStressCommandTimeout),
		dataTime:         serving.Timeout(s.StressDataTimeout, DefaultStressDataTimeout),
		writeTime:        serving.Timeout(s.StressWriteTimeout, DefaultStressWriteTimeout),
		maxTarpit:        serving.Timeout(s.StressMaxTarpit, DefaultStressMaxTarpit),
		maxErrors:        serving.Limit(s.StressMaxErrors, DefaultStressMaxErrors),
		maxBadRecipients: serving.Limit(s.StressMaxBadRecipients, DefaultStressMaxBadRecipients),
		maxDeferred:      serving.Limit(s.StressMaxDeferredRecipients, DefaultStressMaxDeferredRecipients),
		maxAuthFailures:  serving.Limit(s.StressMaxAuthFailures, DefaultStressMaxAuthFailures),
		maxIdleCommands:  serving.Limit(s.StressMaxIdleCommands, DefaultStressMaxIdleCommands),
	}
}

// perNetwork is MaxConnectionsPerNetwork with its default.
func perNetwork(given, perIP int) int {
	switch {
	case given != 0:
		return given
	case perIP < 0:
		return perIP
	}
	return max(perIP, DefaultMaxConnectionsPerNetwork)
}

// thresholds are how many connections begin stress, 0 for never, and how few end it.
func (s *Server) thresholds(maxConnections int) (stressAt, calmAt int) {
	stress, calm := s.StressThreshold, s.CalmThreshold
	if stress == 0 {
		stress = DefaultStressThreshold
	}
	if calm <= 0 {
		calm = DefaultCalmThreshold
	}
	if !(stress > 0) || maxConnections < 0 {
		return 0, 0
	}
	limit := float64(maxConnections)
	stressAt = max(1, int(math.Ceil(min(stress, 2)*limit)))
	return stressAt, min(int(min(calm, 2)*limit), stressAt-1)
}

// pressed says whether the limits of stress hold for the session: it is spared once it has logged in.
func (c *conn) pressed() bool { return c.session.Peer.Identity == nil && c.session.Stressed() }

// budget is the limit that holds now: under stress the lower one, of which negative ones are none.
func (c *conn) budget(calm, stress int) int {
	switch {
	case stress < 0 || !c.pressed():
		return calm
	case calm < 0:
		return stress
	}
	return min(calm, stress)
}

func (c *conn) maxErrors() int { return c.budget(c.set.maxErrors, c.set.stress.maxErrors) }

func (c *conn) maxBadRecipients() int {
	return c.budget(c.set.maxBadRecipients, c.set.stress.maxBadRecipients)
}

func (c *conn) maxDeferred() int { return c.budget(c.set.maxDeferred, c.set.stress.maxDeferred) }

func (c *conn) maxAuthFailures() int {
	return c.budget(c.set.maxAuthFailures, c.set.stress.maxAuthFailures)
}

func (c *conn) maxIdleCommands() int {
	return c.budget(c.set.maxIdleCommands, c.set.stress.maxIdleCommands)
}

// waitForCommand says until when a read that follows, and the replies before it, may wait when stress or a shutdown comes.
func (c *conn) waitForCommand(now time.Time) {
	c.Hurry, c.Grace, c.WriteHurry = time.Time{}, c.set.shutdownGrace, c.set.stress.writeTime
	switch {
	case c.session.Peer.Identity != nil:
		c.WriteHurry = 0
	case c.tx != nil:
		c.Hurry = now.Add(c.set.stress.dataTime)
	default:
		c.Hurry = now.Add(c.set.stress.commandTime)
	}
}

// timeOut says more of a read that took too long.
func (c *conn) timeOut(err error) error {
	switch {
	case time.Since(c.born) >= c.set.sessionTime:
		return fmt.Errorf("smtpd: session is too old: %w", err)
	case c.pressed():
		return fmt.Errorf("smtpd: under stress: %w", err)
	}
	return err
}

// tellStress tells the log and the trace that stress has begun or ended.
func (set *settings) tellStress(on bool) {
	if on {
		set.logger.Warn("smtpd: under stress, time-outs and limits are shortened", "maxConnections", set.maxConnections)
	} else {
		set.logger.Info("smtpd: no longer under stress")
	}
	if t := set.Trace.Stress; t != nil {
		t(on)
	}
}
