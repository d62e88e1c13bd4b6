package mailboxtest_test

import (
	"flag"
	"os"
	"testing"
)

// The failures of these tests are wanted: rapid need not make them small, nor keep them.
func TestMain(m *testing.M) {
	flag.Parse()
	for name, value := range map[string]string{"rapid.nofailfile": "true", "rapid.shrinktime": "0s"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
