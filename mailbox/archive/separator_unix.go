//go:build !windows

package archive

// infoSeparator stands between a file's name and its flags.
const infoSeparator = ":"
