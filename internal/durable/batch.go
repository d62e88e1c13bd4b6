package durable

// batchAlone is how many files of a Batch are synced each by itself. To sync all of a file system writes out what others have
// written, too, so that it pays for many files only.
const batchAlone = 256

// Batch brings the contents of files that are written one after the other to disk: the first ones each by itself and all
// others, where the system can do that, in one call at the end, which takes a small part of the time. It is for one goroutine.
type Batch struct {
	// FS has the files, and Dir is a folder in their file system.
	FS  FS
	Dir string

	files   int
	barrier barrier // nil: each file is synced
}

// barrier syncs what was written in a file system since it was made.
type barrier interface {
	Sync() error
	Close() error
}

// Sync sees to it that a file that was written since the last call is on disk when Finish returns nil.
func (b *Batch) Sync(f File) error {
	if b.barrier != nil {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	b.files++
	if b.files < batchAlone || b.FS != OS() { // what is under another layer is not known
		return nil
	}
	var err error
	b.barrier, err = newBarrier(b.Dir)
	return err
}

// Finish returns nil when all files are on disk. Then, or after an error, the Batch is as new.
func (b *Batch) Finish() error {
	defer b.Close()
	if b.barrier == nil {
		return nil
	}
	return b.barrier.Sync()
}

// Close gives up what Finish would do.
func (b *Batch) Close() {
	if b.barrier != nil {
		_ = b.barrier.Close() // it is only read
	}
	b.barrier, b.files = nil, 0
}
