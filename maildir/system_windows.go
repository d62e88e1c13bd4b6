package maildir

// infoSeparator stands between a file's name and its flags: a colon has a meaning of its own here.
const infoSeparator = ";"

// notInFileNames are characters that the system's file names cannot have, besides those that Maildir++ needs itself.
const notInFileNames = `<>:"\|?*`

// lockedFoldersMove: a folder in which a file is open cannot be renamed.
const lockedFoldersMove = false

// processGone says whether no process has this number; nobody asks here, where Dovecot does not run.
func processGone(int) bool { return false }
