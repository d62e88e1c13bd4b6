package durable

// IsDiskFull says whether err, or what it wraps, is that of a disk without room, or of a user without any left of the
// share of it that the system grants: a failure that passes when somebody has made room.
func IsDiskFull(err error) bool { return isDiskFull(err) }
