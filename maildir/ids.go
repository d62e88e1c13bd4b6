package maildir

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/mailbricks/mailbricks/internal/durable"
	"github.com/mailbricks/mailbricks/internal/maildirpp"
	"github.com/mailbricks/mailbricks/mailbox"
)

// The id of a mailbox (RFC 8474) is the GUID in the first line of its uidlist, so that it is Dovecot's and goes with the
// folder when that is renamed. A folder that somebody copied has the id of the first: the file mailbricks-ids of an account
// says which folder an id belongs to, and the other one gets a new id before anyone is told of it. The file has its name and
// version, then a line "<id> <folder>" each, with "." for INBOX. Without it the folder that is asked for first keeps the id.
const (
	idFileName = "mailbricks-ids"
	idVersion  = "1"
	maxIDFile  = 8 << 20 // more than maxMailboxes need
	// maxHeader bounds what is read of a uidlist for its first line.
	maxHeader = 1 << 10
)

// errNoUIDList says that a folder has no uidlist of which the first line can be read.
var errNoUIDList = errors.New("maildir: no uidlist")

// ids knows which folder an id belongs to.
type ids struct {
	mu     sync.Mutex
	folder map[string]string // by id; nil: not read yet
}

// has says whether an id is known to be a folder's.
func (s *ids) has(id, folder string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	owner, ok := s.folder[id]
	return ok && owner == folder && mailbox.ValidID(id)
}

func (s *ids) set(folders map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folder = folders
}

// id is the id of a folder, given what its uidlist has. Where it cannot be made sure that no other folder has it, because
// nothing can be written, it is empty.
func (a *account) id(folder, guid string) string {
	if a.ids.has(guid, folder) {
		return guid
	}
	known, err := a.register([]string{folder})
	if err != nil {
		a.maildir.logger().Warn("maildir: mailbox has no id", "folder", a.path(folder), "error", err)
	}
	return known[folder]
}

// idsOf gives the ids of folders. It reads the first line of each one's uidlist.
func (a *account) idsOf(folders []string) map[string]string {
	out := make(map[string]string, len(folders))
	var unsure []string
	for _, folder := range folders {
		id, err := a.readID(folder)
		if err == nil && a.ids.has(id, folder) {
			out[folder] = id
		} else {
			unsure = append(unsure, folder)
		}
	}
	if len(unsure) == 0 {
		return out
	}
	known, err := a.register(unsure)
	if err != nil {
		a.maildir.logger().Warn("maildir: mailboxes have no ids", "folder", a.dir, "error", err)
	}
	maps.Copy(out, known)
	return out
}

// register gives the ids of folders and notes whose they are. A folder with the id of another, or without one, gets a new
// one. With an error it gives those that are certain all the same.
func (a *account) register(folders []string) (map[string]string, error) {
	out := map[string]string{}
	owners, err := a.loadIDs()
	if err != nil {
		return out, err
	}
	a.ids.set(owners)
	if folders = a.settled(folders, owners, out); len(folders) == 0 {
		return out, nil
	}
	unlock, err := a.lockStructure()
	if err != nil {
		return out, err
	}
	defer unlock()
	if owners, err = a.loadIDs(); err != nil { // again: another process may have been here
		return out, err
	}
	var errs []error
	for _, folder := range slices.Sorted(slices.Values(folders)) {
		id, err := a.claim(folder, owners)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", folder, err))
			continue
		}
		owners[id] = folder
	}
	if err := a.writeIDs(owners); err != nil {
		return out, errors.Join(append(errs, err)...)
	}
	a.ids.set(owners)
	a.settled(folders, owners, out)
	return out, errors.Join(errs...)
}

// settled puts into out the ids of the folders that owners has, and gives the others.
func (a *account) settled(folders []string, owners, out map[string]string) []string {
	var rest []string
	for _, folder := range folders {
		id, err := a.readID(folder)
		if owner, ok := owners[id]; ok && err == nil && owner == folder && mailbox.ValidID(id) {
			out[folder] = id
		} else {
			rest = append(rest, folder)
		}
	}
	return rest
}

// claim gives the id of a folder, a new one if it has none of its own. The structure lock is held.
func (a *account) claim(folder string, owners map[string]string) (string, error) {
	id, err := a.readID(folder)
	if errors.Is(err, errNoUIDList) || err == nil && !mailbox.ValidID(id) {
		return a.renewID(folder)
	}
	if err != nil {
		return "", err
	}
	owner, ok := owners[id]
	if !ok || owner == folder {
		return id, nil
	}
	if other, err := a.readID(owner); err == nil && other == id {
		return a.renewID(folder)
	}
	return id, nil // the folder has got another name
}

// readID reads the id in a folder's uidlist; empty: it has none.
func (a *account) readID(folder string) (string, error) {
	f, err := a.fs().OpenFile(filepath.Join(a.path(folder), uidlistFile), os.O_RDONLY, 0)
	if isNotExist(err) {
		return "", errNoUIDList
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, maxHeader)
	n, err := io.ReadFull(f, buf)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return "", err
	}
	line, _, ok := strings.Cut(string(buf[:n]), "\n")
	if !ok {
		return "", errNoUIDList
	}
	return headerID(line)
}

// headerID finds the id in the first line of a uidlist of version 3.
func headerID(line string) (string, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 || fields[0] != "3" {
		return "", errNoUIDList
	}
	for _, f := range fields[1:] {
		if id, ok := strings.CutPrefix(f, "G"); ok {
			return id, nil
		}
	}
	return "", nil
}

// renewID gives a folder another id, as another program would: who has the folder open reads its files anew. The structure
// lock is held.
func (a *account) renewID(folder string) (string, error) {
	f := a.folder(folder)
	defer a.leave(f)
	if _, err := a.readID(folder); errors.Is(err, errNoUIDList) {
		if err := f.refresh(); err != nil { // which makes one, or one of version 3
			return "", err
		}
	}
	f.writing.Lock()
	defer f.writing.Unlock()
	ctx, cancel := a.maildir.patience()
	defer cancel()
	lock, err := durable.Lock(ctx, a.fs(), filepath.Join(a.path(folder), lockFile))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	unlock, err := f.lockOutDovecot(ctx, a.path(folder))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(a.path(folder), uidlistFile)
	data, err := durable.ReadFile(a.fs(), path, maxListSize)
	if err != nil {
		return "", err
	}
	line, rest, _ := strings.Cut(string(data), "\n")
	if _, err := headerID(line); err != nil {
		return "", err
	}
	id := newGUID()
	fields := slices.DeleteFunc(strings.Fields(line), func(f string) bool { return f[0] == 'G' })
	line = strings.Join(append(fields, "G"+id), " ")
	return id, durable.WriteFile(a.fs(), path, []byte(line+"\n"+rest), messagePerm)
}

// loadIDs reads the file.
func (a *account) loadIDs() (map[string]string, error) {
	data, err := durable.ReadFile(a.fs(), filepath.Join(a.dir, idFileName), maxIDFile)
	if isNotExist(err) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("maildir: ids: %w", err)
	}
	return parseIDs(string(data))
}

func parseIDs(data string) (map[string]string, error) {
	header, rest, _ := strings.Cut(data, "\n")
	name, version, _ := strings.Cut(header, " ")
	if name == idFileName && version != idVersion {
		return nil, fmt.Errorf("%w: ids of version %.20q", errNewer, version)
	}
	out := map[string]string{}
	for line := range strings.SplitSeq(rest, "\n") {
		id, folder, ok := strings.Cut(line, " ")
		if !ok || !mailbox.ValidID(id) || !isFolderName(folder) {
			continue
		}
		if folder == "." {
			folder = ""
		}
		if _, taken := out[id]; !taken {
			out[id] = folder
		}
	}
	return out, nil
}

// isFolderName keeps a damaged file from leading elsewhere.
func isFolderName(folder string) bool {
	return strings.HasPrefix(folder, ".") && !strings.HasPrefix(folder, hiddenPrefix) && !strings.ContainsAny(folder, "/\x00"+maildirpp.NotInFileNames)
}

// writeIDs writes the file without what is no longer so. The structure lock is held.
func (a *account) writeIDs(owners map[string]string) error {
	for id, folder := range owners {
		if now, err := a.readID(folder); errors.Is(err, errNoUIDList) || err == nil && now != id {
			delete(owners, id)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", idFileName, idVersion)
	for _, id := range slices.Sorted(maps.Keys(owners)) {
		folder := owners[id]
		if folder == "" {
			folder = "."
		}
		fmt.Fprintf(&b, "%s %s\n", id, folder)
	}
	return durable.WriteFile(a.fs(), filepath.Join(a.dir, idFileName), []byte(b.String()), messagePerm)
}

// renameIDs notes that folders have got other names. Where that fails they are found by their ids. The structure lock is
// held.
func (a *account) renameIDs(moves []renaming) {
	owners, err := a.loadIDs()
	if err != nil {
		return
	}
	to := map[string]string{}
	for _, m := range moves {
		to[m.from] = m.to
	}
	changed := false
	for id, folder := range owners {
		if now, ok := to[folder]; ok {
			owners[id], changed = now, true
		}
	}
	if changed && a.writeIDs(owners) == nil {
		a.ids.set(owners)
	}
}
