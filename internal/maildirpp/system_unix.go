//go:build !windows

package maildirpp

// InfoSeparator stands between a file's name and its flags.
const InfoSeparator = ":"

// NotInFileNames are characters that the system's file names cannot have, besides those that Maildir++ needs itself.
const NotInFileNames = ""
