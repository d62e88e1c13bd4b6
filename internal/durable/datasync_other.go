//go:build !linux

package durable

// SyncData is File.Sync without the times of last access and modification where
// the system can do that; here it is File.Sync.
func SyncData(f File) error { return f.Sync() }
