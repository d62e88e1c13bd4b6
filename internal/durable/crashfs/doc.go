// Package crashfs is a durable.FS in memory for tests of what survives a crash.
//
// It counts the calls that change something, can stop before or after any of
// them (every later call then fails with ErrCrashed), can make any call fail,
// and then offers every state that a power cut at that point allows:
//
//   - What a file held when File.Sync last returned nil is there. Of what was
//     written since, all, nothing or a prefix that ends in the middle of a write
//     is there; each file on its own.
//   - Names that were there, or gone, when FS.SyncDir of their folder last
//     returned nil still are. Each name made or taken away since is kept or lost
//     on its own. Within one folder a Rename is kept or lost as a whole, so that
//     a name which is renamed over has the old file or the new one and is never
//     missing. Between two folders the new name is kept or lost with its own
//     folder and the old name may remain, but the file is never without both.
//   - Syncing a file does not make its name durable, nor the other way round.
//   - A Sync that failed has lost nothing yet, but what it covered may be
//     missing for good even if a later Sync succeeds.
//
// This is more than any one file system does and about what POSIX promises.
// Times, modes and locks are kept in memory only as far as stores look at them.
//
// A test runs the code under test once to learn how many calls it makes, and
// then once for each of them:
//
//	for n := 1; n <= calls; n++ {
//		fs := crashfs.New()
//		fs.CrashAfter(n)
//		told := run(fs)                  // stops with ErrCrashed
//		for state := range fs.States() { // what a power cut may leave
//			recoverAndCheck(state, told)
//		}
//	}
package crashfs
