package child

import (
	"runtime"
	"runtime/debug"
	"time"
)

// Usage is what a process has used.
type Usage struct {
	// CPU is the time that it has computed, in user and kernel mode, since it started.
	CPU time.Duration
	// Goroutines is how many it has now.
	Goroutines int
}

// Memory is what a process has in use after a garbage collection.
type Memory struct {
	// Heap and Stacks are octets in use, as spans that hold something.
	Heap, Stacks uint64
	// Goroutines is how many there are.
	Goroutines int
}

// InUse is heap and stacks together.
func (m Memory) InUse() uint64 { return m.Heap + m.Stacks }

// MeasureMemory collects garbage and says what is left, for a role to answer with.
func MeasureMemory() Memory {
	debug.FreeOSMemory() // collects; twice, so that what a sync.Pool holds goes too
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return Memory{Heap: m.HeapInuse, Stacks: m.StackInuse, Goroutines: runtime.NumGoroutine()}
}

func measure() (Usage, error) {
	cpu, err := cpuTime()
	return Usage{CPU: cpu, Goroutines: runtime.NumGoroutine()}, err
}
