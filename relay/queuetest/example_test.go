package queuetest_test

import (
	"testing"

	"github.com/mailbricks/mailbricks/relay"
	"github.com/mailbricks/mailbricks/relay/queuetest"
)

// The test of a queue is one call.
func ExampleRun() {
	testQueue := func(t *testing.T) { // TestQueue in the queue's package
		queuetest.Run(t, func(t *testing.T) queuetest.Opener {
			dir := t.TempDir()
			return func(opts relay.Options) (queuetest.Queue, error) {
				q, err := relay.Open(dir, opts)
				if err != nil {
					return nil, err // not a nil *relay.Queue in an interface
				}
				return q, nil
			}
		})
	}
	_ = testQueue
	// Output:
}
