package output

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/ownfile"
	"github.com/soulbox-dev/soulbox/runner/internal/walk"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// MaxFiles is how many captured files a document names; the rest is counted.
const MaxFiles = 64

// captureLimit bounds the search. A guess: two million files.
const captureLimit = 5 * time.Second

// OwnPrefix begins the names of the runner's own files in the workspace. They
// are never captured.
const OwnPrefix = ".soulbox-"

// FilePath is where the bytes of a captured file are kept below a run's
// directory of output.
func FilePath(dir string, index int) string { return filepath.Join(dir, fmt.Sprintf("file-%d", index)) }

// Capture copies the regular files below the workspace that match one of the
// globs into dir: the first MaxFiles in the order of their paths, together at
// most that many bytes. They are copied because a later run may change them.
// Links, devices and FIFOs are passed over. Omitted counts the other matches,
// and the reason says why they, or some that were not found, are missing.
func Capture(workspace *os.Root, globs []string, dir string, most int64) (files []wire.CapturedFile, omitted int, reason string) {
	var reasons []string
	paths, omitted, err := search(workspace, globs)
	if err != nil {
		reasons = append(reasons, "not all of the workspace was searched: "+err.Error())
	}
	reasons = append(reasons, missing(workspace, globs)...)
	if omitted > 0 {
		reasons = append(reasons, fmt.Sprintf("%d files matched, %d are kept", omitted+len(paths), MaxFiles))
	}
	unread := 0
	for _, name := range paths {
		file, err := copyFile(workspace, name, FilePath(dir, len(files)), &most)
		if err != nil {
			if unread++; unread == 1 {
				reasons = append(reasons, fmt.Sprintf("%q could not be copied: %v", name, withoutPath(err)))
			}
			continue
		}
		files = append(files, file)
	}
	if unread > 1 {
		reasons = append(reasons, fmt.Sprintf("nor could %d more", unread-1))
	}
	return files, omitted + unread, strings.Join(reasons, "; ")
}

// missing tells of files that were asked for by name and are none. (That a glob
// matches nothing is ordinary.)
func missing(workspace *os.Root, globs []string) (reasons []string) {
	for _, name := range globs {
		if strings.ContainsAny(name, "*?[") {
			continue
		}
		switch info, err := workspace.Lstat(name); {
		case errors.Is(err, fs.ErrNotExist):
			reasons = append(reasons, fmt.Sprintf("%q does not exist", name))
		case err == nil && !info.Mode().IsRegular():
			reasons = append(reasons, fmt.Sprintf("%q is not a regular file", name))
		}
	}
	return reasons
}

// withoutPath leaves out the names of calls and paths, which may be the
// runner's own.
func withoutPath(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

func search(workspace *os.Root, globs []string) (paths []string, omitted int, err error) {
	patterns := make([]pattern, len(globs))
	for i, glob := range globs {
		patterns[i] = newPattern(workspace, glob)
	}
	err = walk.Tree(workspace.Name(), captureLimit, func(name string, info *unix.Stat_t) {
		if info.Mode&unix.S_IFMT != unix.S_IFREG || strings.HasPrefix(name, OwnPrefix) {
			return
		}
		parts := strings.Split(name, "/")
		for _, pattern := range patterns {
			if !pattern.takes(name, parts) {
				continue
			}
			at := sort.SearchStrings(paths, name)
			if at < MaxFiles {
				paths = append(paths, "")
				copy(paths[at+1:], paths[at:])
				paths[at] = name
			}
			if at >= MaxFiles || len(paths) > MaxFiles {
				paths = paths[:MaxFiles]
				omitted++
			}
			return
		}
	})
	return paths, omitted, err
}

// pattern is one of captureFiles.
type pattern struct {
	name  string // of the one file that is meant; or "", and the parts of a glob
	parts []string
}

// newPattern takes a glob that is the very name of a file for that file:
// "report [1].csv", a name that browsers and spreadsheets make, is no wish for
// "report 1.csv". ([[] stands for a bracket where that is not enough.)
func newPattern(workspace *os.Root, glob string) pattern {
	glob = path.Clean(glob)
	if strings.Contains(glob, "[") {
		if info, err := workspace.Lstat(glob); err == nil && info.Mode().IsRegular() {
			return pattern{name: glob}
		}
	}
	return pattern{parts: strings.Split(glob, "/")}
}

func (p pattern) takes(name string, parts []string) bool {
	if p.name != "" {
		return name == p.name
	}
	return matches(p.parts, parts)
}

// matches compares part by part; ** stands for any number of parts. On a
// mismatch only the last ** takes one part more, which is enough, as for * in
// a name, and needs no recursion.
func matches(pattern, parts []string) bool {
	i, j, star, starJ := 0, 0, -1, 0
	for j < len(parts) {
		if i < len(pattern) && pattern[i] == "**" {
			star, starJ = i, j
			i++
			continue
		}
		if i < len(pattern) {
			if ok, err := path.Match(pattern[i], parts[j]); ok && err == nil {
				i++
				j++
				continue
			}
		}
		if star < 0 {
			return false
		}
		starJ++
		i, j = star+1, starJ
	}
	for i < len(pattern) && pattern[i] == "**" {
		i++
	}
	return i == len(pattern)
}

// copyFile keeps up to *left bytes of a file and takes them off *left.
func copyFile(root *os.Root, name, target string, left *int64) (file wire.CapturedFile, err error) {
	// Not blocking: between search and open a FIFO may have taken its place.
	const flags = os.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK
	source, err := root.OpenFile(name, flags, 0)
	if errors.Is(err, unix.EACCES) { // its owner, who is us, made it unreadable
		if info, statErr := root.Lstat(name); statErr == nil && root.Chmod(name, info.Mode().Perm()|0o400) == nil {
			source, err = root.OpenFile(name, flags, 0)
			_ = root.Chmod(name, info.Mode().Perm())
		}
	}
	if err != nil {
		return file, err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return file, err
	}
	if !info.Mode().IsRegular() {
		return file, fmt.Errorf("is not a regular file any more")
	}
	copied, err := ownfile.Create(target)
	if err != nil {
		return file, err
	}
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(copied, hash), io.LimitReader(source, *left))
	if closeErr := copied.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(target)
		return file, err
	}
	*left -= n
	return wire.CapturedFile{
		Path: strings.ToValidUTF8(name, "\uFFFD"), Size: max(info.Size(), n),
		SHA256: hex.EncodeToString(hash.Sum(nil)), Truncated: n < info.Size(),
	}, nil
}
