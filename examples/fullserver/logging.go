package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
)

// logging writes to standard error with the level and in the format of the configuration in force.
type logging struct {
	level      *slog.LevelVar
	inJSON     *atomic.Bool
	text, json slog.Handler
}

func newLogging(c *config) *logging {
	level := &slog.LevelVar{}
	options := &slog.HandlerOptions{Level: level}
	l := &logging{
		level: level, inJSON: &atomic.Bool{},
		text: slog.NewTextHandler(os.Stderr, options), json: slog.NewJSONHandler(os.Stderr, options),
	}
	l.set(c)
	return l
}

// set takes over what a configuration says.
func (l *logging) set(c *config) {
	if err := l.level.UnmarshalText([]byte(c.log.level)); err != nil {
		panic(fmt.Sprintf("log level %q: %v", c.log.level, err)) // a bug: the configuration was checked
	}
	l.inJSON.Store(c.log.format == "json")
}

func (l *logging) handler() slog.Handler {
	if l.inJSON.Load() {
		return l.json
	}
	return l.text
}

// Enabled implements slog.Handler.
func (l *logging) Enabled(ctx context.Context, level slog.Level) bool {
	return l.handler().Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (l *logging) Handle(ctx context.Context, record slog.Record) error {
	return l.handler().Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (l *logging) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logging{level: l.level, inJSON: l.inJSON, text: l.text.WithAttrs(attrs), json: l.json.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (l *logging) WithGroup(name string) slog.Handler {
	return &logging{level: l.level, inJSON: l.inJSON, text: l.text.WithGroup(name), json: l.json.WithGroup(name)}
}
