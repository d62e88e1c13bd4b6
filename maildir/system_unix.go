//go:build !windows

package maildir

// infoSeparator stands between a file's name and its flags.
const infoSeparator = ":"

// notInFileNames are characters that the system's file names cannot have, besides those that Maildir++ needs itself.
const notInFileNames = ""
