// Package ownfile opens the runner's own files where a program may have put
// something in their place: without Landlock the directories of journal and
// output are open to every process of the pod's user. A link is not followed, a
// FIFO does not block, and nothing but a regular file is read.
package ownfile

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Create makes a new file for writing, in the place of whatever was there.
func Create(path string) (*os.File, error) {
	var err error
	for range 3 { // unless a program is quicker each time
		if err = os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			err = os.RemoveAll(path) // a directory
		}
		var file *os.File
		file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
		if !errors.Is(err, os.ErrExist) {
			return file, err
		}
	}
	return nil, err
}

// Write is os.WriteFile by way of Create.
func Write(path string, content []byte) error {
	file, err := Create(path)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Open opens a regular file for reading.
func Open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file any more", path)
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// Read is os.ReadFile by way of Open, of at most that many bytes.
func Read(path string, most int64) ([]byte, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	content := make([]byte, min(info.Size(), most))
	n, err := file.ReadAt(content, 0)
	if n == len(content) {
		err = nil
	}
	return content[:n], err
}
