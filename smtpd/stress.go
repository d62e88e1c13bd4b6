package smtpd

import (
	"math"
	"time"

	"github.com/mailbricks/mailbricks/internal/serving"
)

// stressSettings are the Stress fields of a Server with their defaults filled in.
type stressSettings struct {
	commandTime, dataTime, maxTarpit                              time.Duration
	maxErrors, maxBadRecipients, maxAuthFailures, maxIdleCommands int
}

func (s *Server) stressSettings() stressSettings {
	return stressSettings{
		commandTime:      serving.Timeout(s.StressCommandTimeout, DefaultStressCommandTimeout),
		dataTime:         serving.Timeout(s.StressDataTimeout, DefaultStressDataTimeout),
		maxTarpit:        serving.Timeout(s.StressMaxTarpit, DefaultStressMaxTarpit),
		maxErrors:        serving.Limit(s.StressMaxErrors, DefaultStressMaxErrors),
		maxBadRecipients: serving.Limit(s.StressMaxBadRecipients, DefaultStressMaxBadRecipients),
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
