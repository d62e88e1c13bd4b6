//go:build race

package maildir_test

// withRace says that the race detector looks on, which makes everything slow: it sees each operation cut and failing a few
// times, and the run without it sees the rest.
const withRace = true
