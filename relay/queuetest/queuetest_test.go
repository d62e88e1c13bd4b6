package queuetest_test

import (
	"testing"

	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
	"github.com/mailbricks/mailbricks/relay"
	"github.com/mailbricks/mailbricks/relay/queuetest"
)

func TestOnFiles(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(t *testing.T) queuetest.Opener {
		dir := t.TempDir()
		return func(opts relay.Options) (queuetest.Queue, error) { return opened(relay.Open(dir, opts)) }
	})
}

func TestInMemory(t *testing.T) {
	t.Parallel()
	queuetest.Run(t, func(*testing.T) queuetest.Opener {
		fs := crashfs.New()
		return func(opts relay.Options) (queuetest.Queue, error) {
			opts.FS = fs
			return opened(relay.Open("queue", opts))
		}
	})
}

// opened keeps a nil *relay.Queue out of the interface.
func opened(q *relay.Queue, err error) (queuetest.Queue, error) {
	if err != nil {
		return nil, err
	}
	return q, nil
}
