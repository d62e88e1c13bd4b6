package relay

// RewriteAlways has a queue that was just opened write its journal anew with every change.
func RewriteAlways(q *Queue) { q.journal.min, q.journal.limit = 0, 0 }

// SyncEachFile has a queue that was just opened sync each message's own file, as it does with large ones.
func SyncEachFile(q *Queue) { q.maxLoose = 0 }
