package run

import (
	"os"
	"path"
	"strings"
)

// forgetByteCode removes what Python and its tools cached of a source file that
// is about to be written (PEP 3147; pytest and Numba cache there too): they take
// the cache for current when size and whole-second time are the same.
func forgetByteCode(root *os.Root, name string) {
	stem, ext := strings.TrimSuffix(name, path.Ext(name)), path.Ext(name)
	if ext != ".py" && ext != ".pyw" {
		return
	}
	for _, old := range []string{stem + ".pyc", stem + ".pyo"} { // of Python 2
		_ = root.Remove(old)
	}
	cache, base := path.Join(path.Dir(name), "__pycache__"), path.Base(stem)+"."
	// A link would lead to files that are no cache.
	if info, err := root.Lstat(cache); err != nil || !info.IsDir() {
		return
	}
	dir, err := root.Open(cache)
	if err != nil {
		return
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(256)
		for _, one := range names {
			if strings.HasPrefix(one, base) {
				_ = root.Remove(path.Join(cache, one))
			}
		}
		if err != nil { // io.EOF, or what no one can mend
			return
		}
	}
}
