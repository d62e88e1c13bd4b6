// Package durable is the file layer under everything that must survive a power
// cut: mail stores, the outbound queue, account files.
//
// It has three parts. FS and File are the few operations a store needs, small
// enough that a test can put its own implementation underneath (package
// crashfs does, and offers every state that a power cut may leave). The helpers
// WriteFile, MkdirAll and ReadFile do the usual sequences in the order that
// makes them durable. Group and DirSyncer let many goroutines that wait for the
// same sync share one, and Batch syncs many files of one writer.
//
// The rules that the callers build on:
//
//   - A file's contents are on disk when File.Sync returned nil after the last
//     Write.
//   - A name (made by OpenFile, Link, Rename or Mkdir, or taken away by Remove)
//     is on disk when FS.SyncDir of the folder returned nil afterwards. Syncing
//     the file alone does not make its name durable.
//   - A Sync that failed says nothing about what is on disk, and a later one
//     that succeeds does not repair it: the data has to be written again, best
//     into a new file.
//
// On systems where a directory cannot be synced (Windows) SyncDir does nothing;
// there the file system's own journal decides.
package durable
