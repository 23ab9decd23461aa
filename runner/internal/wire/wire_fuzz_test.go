package wire

import (
	"encoding/json"
	"errors"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What is taken of a request is within its bounds and stays below the workspace; what is not is
// refused by the name of a field.
func FuzzParseRequest(f *testing.F) {
	golden, err := filepath.Glob("../../testdata/wire/put-request.*.json")
	if err != nil || len(golden) == 0 {
		f.Fatalf("%v, %v", golden, err)
	}
	for _, name := range golden {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	for _, text := range []string{
		`{"command":["a"],"code":"","files":[{"path":"a/../b","content":""}]}`,
		`{"command":["a"],"code":"","files":[{"path":"a//./b","content":"#!"},{"path":"./b/c","content":"","mode":511}]}`,
		`{"command":["a"],"code":"%","codeEncoding":"base64"}`,
		`{"command":["a\u0000"],"code":""}`,
		`{"command":["a"],"code":"","timeoutSeconds":1e-300,"outputLimitBytes":0}`,
		`{"command":["a"],"code":"","timeoutSeconds":2592000.0000001}`,
		`{"command":["a"],"code":"","extension":"..","env":[{"name":"A=","value":""}]}`,
		`{"command":["a"],"code":"","captureFiles":["[", "**/x", "a["],"limits":{"processes":-1}}`,
		`{"command":["a"],"code":"","input":"{\"a\":[1,null]}","handler":{"name":"main","language":"node"}}`,
		`{"command":["a"],"code":"","input":"null","stdin":"","handler":{"name":"1","language":"python"}}`,
		`{"command":["a"],"code":""} {}`, `{"Command":["a"],"COMMAND":["b"],"code":""}`, `null`, `[]`, "\xff",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := ParseRequest(body)
		if err != nil {
			var invalid *InvalidError
			if !errors.As(err, &invalid) || invalid.Field == "" || invalid.Problem == "" {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		checkProgram(t, p)
		again, err := ParseRequest(body)
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Fatal("the same request means something else the second time")
		}
	})
}

var handlerName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

func checkProgram(t *testing.T, p *Program) {
	words := append(append([]string{p.Extension}, p.Command...), p.Args...)
	for _, e := range p.Env {
		if e.Name == "" || strings.Contains(e.Name, "=") {
			t.Fatalf("variable %q", e.Name)
		}
		words = append(words, e.Name, e.Value)
	}
	if strings.Contains(strings.Join(words, ""), "\x00") {
		t.Fatal("a word that execve would cut off")
	}
	if len(p.Command) == 0 || len(p.Command) > maxCommand || len(p.Args) > maxArgs || len(p.Env) > maxEnv ||
		len(p.Files) > maxFiles || len(p.CaptureFiles) > maxCaptureFiles {
		t.Fatal("too many of something")
	}
	if p.Timeout <= 0 || p.Timeout > maxTimeoutSeconds*time.Second || p.OutputLimitBytes < 0 || p.OutputLimitBytes > maxOutputLimitBytes {
		t.Fatalf("time-out %v, output %d", p.Timeout, p.OutputLimitBytes)
	}
	if p.Limits.Processes <= 0 || p.Limits.OpenFiles <= 0 || p.Limits.FileSizeBytes <= 0 {
		t.Fatalf("limits %+v", p.Limits)
	}
	if strings.Contains(p.Extension, "/") {
		t.Fatalf("extension %q", p.Extension)
	}
	if p.Input != "" && !json.Valid([]byte(p.Input)) || len(p.Input) > maxInputBytes {
		t.Fatalf("input %q", p.Input)
	}
	if h := p.Handler; h != nil && (!handlerName.MatchString(h.Name) || h.Language != Python && h.Language != Node) {
		t.Fatalf("handler %+v", h)
	}
	for _, file := range p.Files {
		if !filepath.IsLocal(file.Path) || file.Path == "." || path.Clean(file.Path) != file.Path || file.Mode&^0o777 != 0 {
			t.Fatalf("file %q, mode %o", file.Path, file.Mode)
		}
	}
	for _, glob := range p.CaptureFiles {
		if _, err := path.Match(glob, "x"); err != nil || strings.HasPrefix(glob, "/") {
			t.Fatalf("glob %q: %v", glob, err)
		}
	}
}
