//go:build !windows

package archive

// infoSeparator stands between a file's name and its flags.
const infoSeparator = ":"

// notInFileNames are characters that the system's file names cannot have.
const notInFileNames = ""
