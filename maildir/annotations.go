package maildir

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/mailbox"
)

// The file mailbricks-annotations of a folder has the annotations of its mailbox (RFC 5464), so that they go and are renamed
// with it; mailbricks-account-annotations has those of the account. Both begin with their name and version; then comes a line
// "<entry>", a tab and the value in base64 for each, sorted by the entries. There is no file where there are none.
const (
	annotationFile        = "mailbricks-annotations"
	accountAnnotationFile = "mailbricks-account-annotations"
	annotationVersion     = "1"
	// maxAnnotationFile is more than the limits of package mailbox allow.
	maxAnnotationFile = 16 << 20
)

// Annotations implements mailbox.Annotator.
func (s *store) Annotations(ctx context.Context, name string) ([]mailbox.Annotation, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path, err := s.annotationPath(name)
	if err != nil {
		return nil, err
	}
	values, err := s.loadAnnotations(path)
	if err != nil {
		return nil, err
	}
	out := make([]mailbox.Annotation, 0, len(values))
	for _, entry := range slices.Sorted(maps.Keys(values)) {
		out = append(out, mailbox.Annotation{Entry: entry, Value: values[entry]})
	}
	return out, nil
}

// Annotate implements mailbox.Annotator.
func (s *store) Annotate(ctx context.Context, name string, changes []mailbox.Annotation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	unlock, err := s.lockStructure()
	if err != nil {
		return err
	}
	defer unlock()
	path, err := s.annotationPath(name)
	if err != nil {
		return err
	}
	values, err := s.loadAnnotations(path)
	if err != nil {
		return err
	}
	before := maps.Clone(values)
	if err := mailbox.ChangeAnnotations(values, changes); err != nil {
		return err
	}
	if maps.EqualFunc(before, values, slices.Equal) {
		return nil
	}
	if err := s.writeAnnotations(path, values); err != nil {
		return fmt.Errorf("maildir: annotations: %w", err)
	}
	s.annotated(name)
	return nil
}

// annotationPath is where the annotations of a mailbox are, or of the account where name is empty.
func (a *account) annotationPath(name string) (string, error) {
	if name == "" {
		return filepath.Join(a.dir, accountAnnotationFile), nil
	}
	folder, err := a.resolve(name)
	return filepath.Join(a.path(folder), annotationFile), err
}

func (a *account) loadAnnotations(path string) (map[string][]byte, error) {
	data, err := durable.ReadFile(a.fs(), path, maxAnnotationFile)
	if isNotExist(err) {
		return map[string][]byte{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("maildir: annotations: %w", err)
	}
	return parseAnnotations(filepath.Base(path), string(data))
}

// parseAnnotations reads the file of this name. Lines that are damaged are left out.
func parseAnnotations(file, data string) (map[string][]byte, error) {
	header, rest, _ := strings.Cut(data, "\n")
	name, version, _ := strings.Cut(header, " ")
	if name == file && version != annotationVersion {
		return nil, fmt.Errorf("%w: annotations of version %.20q", errNewer, version)
	}
	values := map[string][]byte{}
	for line := range strings.SplitSeq(rest, "\n") {
		entry, text, ok := strings.Cut(line, "\t")
		clean, err := mailbox.CleanEntry(entry)
		if !ok || err != nil || clean != entry {
			continue
		}
		value, err := base64.StdEncoding.DecodeString(text)
		if err == nil && len(value) <= mailbox.MaxAnnotation && len(values) < mailbox.MaxAnnotations {
			values[entry] = value
		}
	}
	return values, nil
}

// writeAnnotations writes the file, or removes it where there is nothing to keep. The structure lock is held.
func (a *account) writeAnnotations(path string, values map[string][]byte) error {
	if len(values) == 0 {
		if err := a.fs().Remove(path); err != nil && !isNotExist(err) {
			return err
		}
		return a.syncDir(filepath.Dir(path))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", filepath.Base(path), annotationVersion)
	for _, entry := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "%s\t%s\n", entry, base64.StdEncoding.EncodeToString(values[entry]))
	}
	return durable.WriteFile(a.fs(), path, []byte(b.String()), messagePerm)
}

// annotated tells who watches the account. What belongs to the account as a whole has no name to tell.
func (a *account) annotated(name string) {
	if name, err := mailbox.CleanName(name); err == nil {
		a.changed(name)
		return
	}
	a.changed("")
}
