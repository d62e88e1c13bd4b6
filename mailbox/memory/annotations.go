package memory

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/mailbricks/mailbricks/mailbox"
)

// Annotations implements mailbox.Annotator.
func (s *store) Annotations(_ context.Context, name string) ([]mailbox.Annotation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.annotationsOf(name)
	if err != nil {
		return nil, err
	}
	out := make([]mailbox.Annotation, 0, len(*at))
	for _, entry := range slices.Sorted(maps.Keys(*at)) {
		out = append(out, mailbox.Annotation{Entry: entry, Value: bytes.Clone((*at)[entry])})
	}
	return out, nil
}

// Annotate implements mailbox.Annotator: it changes a copy, which takes the place of the old one if all of it is possible.
func (s *store) Annotate(_ context.Context, name string, changes []mailbox.Annotation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.annotationsOf(name)
	if err != nil {
		return err
	}
	values := maps.Clone(*at)
	if values == nil {
		values = map[string][]byte{}
	}
	if err := mailbox.ChangeAnnotations(values, changes); err != nil {
		return err
	}
	*at = values
	if name == "" {
		s.changed()
	} else if b, err := s.find(name); err == nil {
		s.changed(b.name)
	}
	return nil
}

// annotationsOf gives the place of the annotations of a mailbox, or of the account where name is empty.
func (a *Account) annotationsOf(name string) (*map[string][]byte, error) {
	if name == "" {
		return &a.annotations, nil
	}
	b, err := a.find(name)
	if err != nil {
		return nil, err
	}
	return &b.annotations, nil
}
