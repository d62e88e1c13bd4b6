// Package statelog keeps what a check knows in a file, so that a restart does not make it forget. It is for knowledge whose
// newest seconds may be lost: changes are gathered in memory and written in groups by a goroutine of the log, so that no
// session ever waits for the disk.
//
// The file has a line with its format and version, and then a record a line (see [durable.AppendRecord]): the new state of
// something, whole, so that a record that comes twice does no harm. It is written anew from the caller's memory at each start,
// when it has grown to more than twice what it was after the last time, after a fault of the disk, and when more changes came
// than a group holds. The new file takes the place of the old one in one step, so that after a power cut there is the old one
// or the new one with what was appended; lines that are torn or were damaged are left out and counted, and are gone with the
// next start.
//
// When the disk fails as it is written to, be it at the start, the log says so once, holds nothing back, and tries again every
// [RetryAfter] with a new file that has all that is in the caller's memory then. A full disk is no reason not to start.
package statelog
