package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progressBar shows how far a command is: as a bar on a terminal, elsewhere as a line now and then.
type progressBar struct {
	w        io.Writer
	terminal bool
	shown    bool // there is a bar in the last line
	next     time.Time
	now      func() time.Time
}

const (
	barWidth = 30
	// lineWidth is less than any terminal has.
	lineWidth = 79
	// lineInterval is how often there is a line, where it is no terminal.
	lineInterval = 10 * time.Second
)

func newProgressBar(w io.Writer) *progressBar {
	f, ok := w.(*os.File)
	b := &progressBar{w: w, terminal: ok && term.IsTerminal(int(f.Fd())), now: time.Now}
	b.next = b.now().Add(lineInterval)
	return b
}

// show shows how far it is.
func (b *progressBar) show(r progressReport) {
	count := fmt.Sprintf("%d", r.Done)
	if r.Total > 0 {
		count = fmt.Sprintf("%d of %d (%d%%)", r.Done, r.Total, min(100, r.Done*100/r.Total))
	}
	if !b.terminal {
		if now := b.now(); !now.Before(b.next) {
			b.next = now.Add(lineInterval)
			fmt.Fprintln(b.w, strings.TrimSpace(r.What+" "+count))
		}
		return
	}
	line := ""
	if r.Total > 0 {
		full := min(barWidth, r.Done*barWidth/r.Total)
		line = "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "] "
	}
	line += count + " " + r.What
	fmt.Fprint(b.w, "\r\x1b[K", line[:min(len(line), lineWidth)]) // a second line could not be taken away
	b.shown = true
}

// clear takes the bar away, for what is written there.
func (b *progressBar) clear() {
	if b.shown {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.shown = false
	}
}

func (b *progressBar) end() { b.clear() }
