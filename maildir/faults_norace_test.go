//go:build !race

package maildir_test

const withRace = false
