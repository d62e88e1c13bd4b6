package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/mailbricks/mailbricks/relay"
)

type queueList struct {
	JSON bool `name:"json" help:"As JSON."`
}

func (c *queueList) runOn(ctx context.Context, a *app, out io.Writer) error {
	entries, err := a.queue.List(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		if entries == nil {
			entries = []relay.Entry{}
		}
		return printJSON(out, entries)
	}
	if len(entries) == 0 {
		_, err := fmt.Fprintln(out, "The queue is empty.")
		return err
	}
	for _, e := range entries {
		printEntry(out, e)
	}
	return nil
}

type queueShow struct {
	ID   string `arg:"" name:"id"`
	JSON bool   `name:"json" help:"As JSON."`
}

func (c *queueShow) runOn(ctx context.Context, a *app, out io.Writer) error {
	e, err := a.queue.Show(ctx, c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(out, e)
	}
	printEntry(out, e)
	return nil
}

// printEntry shows a message with, for each recipient that waits, when it is tried next and why it waits.
func printEntry(out io.Writer, e relay.Entry) {
	from := e.From
	if from == "" {
		from = "<>"
	}
	fmt.Fprintf(out, "%s  %s  %s  from %s", e.ID, e.Queued.Format(time.DateTime), shortSize(e.Size), from)
	switch {
	case e.Removed:
		fmt.Fprint(out, "  (removed, an attempt still runs)")
	case e.Held:
		fmt.Fprint(out, "  (held)")
	}
	fmt.Fprintln(out)
	for _, r := range e.Recipients {
		fmt.Fprintf(out, "    to %s  %s", r.Address, r.State)
		if !r.Next.IsZero() {
			fmt.Fprintf(out, "  next attempt %s", r.Next.Format(time.DateTime))
		}
		if r.Attempts > 0 {
			fmt.Fprintf(out, "  attempts %d", r.Attempts)
		}
		if r.Text != "" {
			fmt.Fprintf(out, "\n        %d %s %s", r.Code, r.Status, r.Text)
			if r.Host != "" {
				fmt.Fprintf(out, " (%s)", r.Host)
			}
		}
		fmt.Fprintln(out)
	}
}

type queueRetry struct {
	ID string `arg:"" name:"id" optional:""`
}

func (c *queueRetry) runOn(ctx context.Context, a *app, _ io.Writer) error {
	if c.ID == "" {
		return a.queue.Retry(ctx)
	}
	e, err := a.queue.Show(ctx, c.ID)
	if err != nil {
		return err
	}
	if e.Held {
		return fmt.Errorf("%s is held; release it instead", c.ID)
	}
	return a.queue.Retry(ctx, c.ID)
}

type queueHold struct {
	ID string `arg:"" name:"id"`
}

func (c *queueHold) runOn(ctx context.Context, a *app, _ io.Writer) error {
	return a.queue.Hold(ctx, c.ID)
}

type queueRelease struct {
	ID string `arg:"" name:"id"`
}

func (c *queueRelease) runOn(ctx context.Context, a *app, _ io.Writer) error {
	return a.queue.Release(ctx, c.ID)
}

type queueRemove struct {
	ID string `arg:"" name:"id"`
}

func (c *queueRemove) runOn(ctx context.Context, a *app, _ io.Writer) error {
	return a.queue.Remove(ctx, c.ID)
}
