package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strings"
	"time"
	"unicode/utf8"
)

// Names are checked by hand: to compile a pattern at start costs a third of a
// millisecond in every launcher.

// ValidUID tells whether a uid of the path may name files of the runner: up to
// 63 letters, digits and '-', a letter or digit first.
func ValidUID(uid string) bool {
	return len(uid) >= 1 && len(uid) <= 63 && uid[0] != '-' && onlyNameBytes(uid, "-")
}

func validExtension(extension string) bool {
	if extension == "" {
		return true
	}
	return len(extension) >= 2 && len(extension) <= 17 && extension[0] == '.' && extension[1] != '.' &&
		onlyNameBytes(extension[1:], "._-")
}

func onlyNameBytes(text, more string) bool {
	for i := range len(text) {
		c := text[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(more, c) >= 0) {
			return false
		}
	}
	return true
}

func checkWords(field string, words []string, most int) error {
	if len(words) > most {
		return invalid(field, "has %d items, at most %d are allowed", len(words), most)
	}
	for i, w := range words {
		if strings.IndexByte(w, 0) >= 0 {
			return invalid(fmt.Sprintf("%s[%d]", field, i), "must not hold a NUL character")
		}
	}
	return nil
}

func decode(field, text, encodingField, encoding string) ([]byte, error) {
	switch encoding {
	case "", "utf8":
		return []byte(text), nil
	case "base64":
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, invalid(field, "is not base64: %v", err)
		}
		return raw, nil
	}
	return nil, invalid(encodingField, "must be utf8 or base64")
}

func (r *Request) checkFiles() ([]DecodedFile, error) {
	if len(r.Files) > maxFiles {
		return nil, invalid("files", "has %d items, at most %d are allowed", len(r.Files), maxFiles)
	}
	out := make([]DecodedFile, 0, len(r.Files))
	for i, f := range r.Files {
		field := fmt.Sprintf("files[%d]", i)
		if err := CheckRelativePath(f.Path); err != nil {
			return nil, invalid(field+".path", "%v", err)
		}
		raw, err := decode(field+".content", f.Content, field+".encoding", f.Encoding)
		if err != nil {
			return nil, err
		}
		mode, err := fileMode(f.Mode, raw)
		if err != nil {
			return nil, invalid(field+".mode", "%v", err)
		}
		out = append(out, DecodedFile{Path: path.Clean(f.Path), Content: raw, Mode: mode})
	}
	return out, nil
}

// fileMode is what was asked for, else that of a script or of an ordinary file.
func fileMode(asked *uint32, content []byte) (fs.FileMode, error) {
	switch {
	case asked != nil && *asked > 0o777:
		return 0, errors.New("must be 0 to 511 (octal 0777)")
	case asked != nil:
		return fs.FileMode(*asked), nil
	case bytes.HasPrefix(content, []byte("#!")):
		return 0o755, nil
	}
	return 0o644, nil
}

// CheckRelativePath refuses a path that is not plainly below the workspace.
func CheckRelativePath(p string) error {
	switch {
	case p == "" || p == "." || strings.HasSuffix(p, "/"):
		return errors.New("must name a file")
	case len(p) > 1024:
		return errors.New("is longer than 1024 bytes")
	case strings.HasPrefix(p, "/"):
		return errors.New("must be relative")
	case strings.IndexByte(p, 0) >= 0 || !utf8.ValidString(p):
		return errors.New("must be UTF-8 without NUL")
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return errors.New("must not hold ..")
		}
		if len(part) > 255 {
			return errors.New("has a part longer than 255 bytes")
		}
	}
	return nil
}

func (r *Request) checkEnv() error {
	if len(r.Env) > maxEnv {
		return invalid("env", "has %d items, at most %d are allowed", len(r.Env), maxEnv)
	}
	for i, e := range r.Env {
		if e.Name == "" || strings.ContainsAny(e.Name, "=\x00") {
			return invalid(fmt.Sprintf("env[%d].name", i), "must not be empty nor hold '=' or NUL")
		}
		if strings.IndexByte(e.Value, 0) >= 0 {
			return invalid(fmt.Sprintf("env[%d].value", i), "must not hold NUL")
		}
	}
	return nil
}

func (r *Request) checkNumbers(p *Program) error {
	if r.TimeoutSeconds != nil {
		s := *r.TimeoutSeconds
		if !(s > 0 && s <= maxTimeoutSeconds) {
			return invalid("timeoutSeconds", "must be above 0 and at most %d", maxTimeoutSeconds)
		}
		p.Timeout = time.Duration(math.Ceil(s * float64(time.Second)))
	}
	if r.OutputLimitBytes != nil {
		p.OutputLimitBytes = *r.OutputLimitBytes
		if p.OutputLimitBytes < 0 || p.OutputLimitBytes > maxOutputLimitBytes {
			return invalid("outputLimitBytes", "must be 0 to %d", int64(maxOutputLimitBytes))
		}
	}
	for _, l := range []struct {
		field    string
		value    *int64
		standard int64
	}{
		{"limits.processes", &p.Limits.Processes, DefaultProcesses},
		{"limits.openFiles", &p.Limits.OpenFiles, DefaultOpenFiles},
		{"limits.fileSizeBytes", &p.Limits.FileSizeBytes, DefaultFileSizeBytes},
	} {
		if *l.value < 0 {
			return invalid(l.field, "must not be negative")
		}
		if *l.value == 0 {
			*l.value = l.standard
		}
	}
	return nil
}

// checkInput takes the input, which is standard input too when there is none.
func (r *Request) checkInput(p *Program) error {
	if r.Input != nil {
		if len(*r.Input) > maxInputBytes {
			return invalid("input", "has %d bytes, at most %d are allowed", len(*r.Input), maxInputBytes)
		}
		if !json.Valid([]byte(*r.Input)) {
			return invalid("input", "is not JSON")
		}
		p.Input = *r.Input
	}
	p.Stdin = p.Input
	if r.Stdin != nil {
		p.Stdin = *r.Stdin
	}
	return nil
}

func (r *Request) checkHandler() error {
	switch {
	case r.Handler == nil:
		return nil
	case !validHandlerName(r.Handler.Name):
		return invalid("handler.name", "must be up to %d letters, digits and '_', no digit first", maxHandlerName)
	case r.Handler.Language != Python && r.Handler.Language != Node:
		return invalid("handler.language", "must be %s or %s", Python, Node)
	}
	return nil
}

func validHandlerName(name string) bool {
	return len(name) >= 1 && len(name) <= maxHandlerName && (name[0] < '0' || name[0] > '9') && onlyNameBytes(name, "_")
}

func (r *Request) checkCapture() error {
	if len(r.CaptureFiles) > maxCaptureFiles {
		return invalid("captureFiles", "has %d items, at most %d are allowed", len(r.CaptureFiles), maxCaptureFiles)
	}
	for i, glob := range r.CaptureFiles {
		field := fmt.Sprintf("captureFiles[%d]", i)
		if err := CheckRelativePath(glob); err != nil {
			return invalid(field, "%v", err)
		}
		if _, err := path.Match(glob, "x"); err != nil {
			return invalid(field, "is not a glob: %v", err)
		}
	}
	return nil
}
