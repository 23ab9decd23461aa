package output

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/soulbox-dev/soulbox/runner/internal/ownfile"
	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

// resultPath is where a result is kept below a run's directory of output.
func resultPath(dir string) string { return filepath.Join(dir, "result") }

// TakeResult keeps what the program left under a name in its private directory,
// when none of its processes is left. It is nil when there is nothing. What is
// larger than a result may be is not read, and nothing but a file that the
// program made there is: no link (what it leads to may be hidden from the
// program), no file with a second name, nothing whose opening could block.
func TakeResult(private *os.Root, name, dir string) *wire.ResultFile {
	file, err := openNoLink(private, name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case errors.Is(err, unix.ELOOP):
		return noResult(wire.NotAFile, "it is a symbolic link")
	case errors.Is(err, unix.ENXIO):
		return noResult(wire.NotAFile, "it is a socket")
	case err != nil:
		return noResult(wire.Unreadable, withoutPath(err).Error())
	}
	defer file.Close()
	var info unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &info); err != nil {
		return noResult(wire.Unreadable, err.Error())
	}
	switch {
	case info.Mode&unix.S_IFMT != unix.S_IFREG:
		return noResult(wire.NotAFile, "it is not a regular file")
	case info.Nlink > 1:
		return noResult(wire.NotAFile, "the file has a second name")
	case info.Size > wire.MaxResultBytes:
		return tooLarge(info.Size)
	}
	content, err := io.ReadAll(io.LimitReader(file, wire.MaxResultBytes+1))
	switch {
	case err != nil:
		return noResult(wire.Unreadable, withoutPath(err).Error())
	case len(content) > wire.MaxResultBytes: // another run of the sandbox writes to it
		return tooLarge(int64(len(content)))
	}
	if err := ownfile.Write(resultPath(dir), content); err != nil {
		return noResult(wire.Unreadable, "it could not be kept: "+withoutPath(err).Error())
	}
	return &wire.ResultFile{Size: int64(len(content)), SHA256: hashOf(content)}
}

// ReadResult is the result with its content, which is not kept in memory. A
// program without Landlock may have changed it since.
func ReadResult(dir string, kept *wire.ResultFile) *wire.ResultFile {
	if kept.Problem != "" {
		return kept
	}
	content, err := ownfile.Read(resultPath(dir), wire.MaxResultBytes)
	switch {
	case err != nil:
		return noResult(wire.Unreadable, withoutPath(err).Error())
	case hashOf(content) != kept.SHA256:
		return noResult(wire.Unreadable, "it was changed after the program's end")
	}
	told := *kept
	told.Content = content
	return &told
}

// openNoLink is for names without a slash. Not by os.Root, which follows a
// link that leads to elsewhere in the directory.
func openNoLink(dir *os.Root, name string) (*os.File, error) {
	opened, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	for {
		fd, err := unix.Openat(int(opened.Fd()), name, flags, 0)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		default:
			return os.NewFile(uintptr(fd), name), nil
		}
	}
}

func noResult(problem wire.ResultProblem, message string) *wire.ResultFile {
	return &wire.ResultFile{Problem: problem, Message: message}
}

func tooLarge(size int64) *wire.ResultFile {
	return &wire.ResultFile{
		Size: size, Problem: wire.TooLarge, Message: fmt.Sprintf("it has %d bytes, at most %d are allowed", size, wire.MaxResultBytes),
	}
}

func hashOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
