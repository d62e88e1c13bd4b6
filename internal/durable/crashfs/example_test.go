package crashfs_test

import (
	"fmt"
	"os"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/durable/crashfs"
)

// appendLine adds a line to a log and syncs it; a nil error is a promise.
func appendLine(fsys durable.FS, line string) error {
	f, err := fsys.OpenFile("/log", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write([]byte(line + "\n")); err != nil {
		return err
	}
	return f.Sync() // and the name of a new log? The test below finds it
}

func Example() {
	whole := crashfs.New()
	if err := appendLine(whole, "hello"); err != nil {
		fmt.Println(err)
	}
	whole.Crash()
	broken := 0
	for state := range whole.States() {
		if _, err := durable.ReadFile(state, "/log", 0); err != nil {
			broken++
			fmt.Println("promised but lost:", err, "in", state.What)
		}
	}
	fmt.Println(whole.Calls(), "calls,", broken, "broken state")
	for _, op := range whole.Log() {
		fmt.Println(op)
	}
	// Output:
	// promised but lost: open /log: file does not exist in /(-+log):0/1
	// 3 calls, 1 broken state
	// 1 create /log
	// 2 write /log
	// 3 sync /log
}
