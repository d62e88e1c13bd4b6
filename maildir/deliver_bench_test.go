package maildir_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mailbricks/mailbricks"
	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/maildir"
)

// countingSyncs is the system's files with a count of the syncs.
type countingSyncs struct {
	durable.FS
	syncs   *atomic.Int64
	noLinks bool
}

func (c countingSyncs) OpenFile(name string, flag int, perm os.FileMode) (durable.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return countingFile{f, c.syncs}, nil
}

func (c countingSyncs) SyncDir(name string) error {
	c.syncs.Add(1)
	return c.FS.SyncDir(name)
}

func (c countingSyncs) Link(from, to string) error {
	if c.noLinks {
		return syscall.EPERM
	}
	return c.FS.Link(from, to)
}

type countingFile struct {
	durable.File
	syncs *atomic.Int64
}

func (f countingFile) Sync() error {
	f.syncs.Add(1)
	return f.File.Sync()
}

// benchLetter has 4 KiB, as many messages have.
func benchLetter() []byte {
	return append([]byte("From: bob@example.org\r\nTo: ann@example.com\r\nSubject: bench\r\n\r\n"),
		bytes.Repeat([]byte("All work and no play makes Jack a dull boy.\r\n"), 90)...)
}

// benchMaildir has accounts user0 to user(n-1), made already.
func benchMaildir(b *testing.B, n int, noLinks bool) (*maildir.Maildir, *atomic.Int64) {
	root, err := os.MkdirTemp(os.Getenv("MAILBRICKS_BENCH_DIR"), "deliver") // a disk, where the folder for temporary files is none
	require.NoError(b, err)
	b.Cleanup(func() { os.RemoveAll(root) })
	m := maildir.New(filepath.Join(root, "mail"), everyone(0))
	m.Folders = []maildir.Folder{}
	syncs := new(atomic.Int64)
	maildir.SetFS(m, countingSyncs{durable.OS(), syncs, noLinks})
	b.Cleanup(func() { require.NoError(b, m.Close()) })
	require.NoError(b, m.Handle(b.Context(), letterTo(upTo(n)...), mailbricks.NewMessage(benchLetter())))
	syncs.Store(0)
	return m, syncs
}

// BenchmarkDelivery is the time of one delivery while so many go on at once, to ten accounts in turn.
func BenchmarkDelivery(b *testing.B) {
	for _, atOnce := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("atOnce=%d", atOnce), func(b *testing.B) {
			m, syncs := benchMaildir(b, 10, false)
			msg := benchLetter()
			var next atomic.Int64
			b.SetBytes(int64(len(msg)))
			b.SetParallelism((atOnce + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
			if atOnce == 1 {
				for b.Loop() {
					require.NoError(b, m.Handle(context.Background(), letterTo(int(next.Add(1))%10), mailbricks.NewMessage(msg)))
				}
			} else {
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := m.Handle(context.Background(), letterTo(int(next.Add(1))%10), mailbricks.NewMessage(msg)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			b.ReportMetric(float64(syncs.Load())/float64(b.N), "syncs/op")
		})
	}
}

// BenchmarkDeliveryToMany is the time of one message to many accounts, with one file and with a file for each.
func BenchmarkDeliveryToMany(b *testing.B) {
	for _, n := range []int{2, 10, 100} {
		for _, noLinks := range []bool{false, true} {
			b.Run(fmt.Sprintf("recipients=%d/%s", n, map[bool]string{false: "linked", true: "copied"}[noLinks]), func(b *testing.B) {
				m, syncs := benchMaildir(b, n, noLinks)
				env, msg := letterTo(upTo(n)...), benchLetter()
				for b.Loop() {
					require.NoError(b, m.Handle(context.Background(), env, mailbricks.NewMessage(msg)))
				}
				b.ReportMetric(float64(syncs.Load())/float64(b.N), "syncs/op")
			})
		}
	}
}
