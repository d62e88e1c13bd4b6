package maildir

// lockedFoldersMove: a folder in which a file is open cannot be renamed.
const lockedFoldersMove = false

// processGone says whether no process has this number; nobody asks here, where Dovecot does not run.
func processGone(int) bool { return false }
