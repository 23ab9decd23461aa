package wire

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const golden = "../../testdata/wire"

// Each golden file must survive a round trip through our types unchanged: no
// field lost, none added, none renamed. The Python client tests the same files.
func TestGoldenFilesRoundTrip(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(golden, "*.json"))
	if err != nil || len(paths) < 15 {
		t.Fatalf("golden files: %d found, %v", len(paths), err)
	}
	for _, path := range paths {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			var value any
			switch kind, _, _ := strings.Cut(name, "."); kind {
			case "put-request":
				value = &Request{}
			case "execution":
				value = &Document{}
			case "list":
				value = &List{}
			case "stats":
				value = &Stats{}
			case "enforcement-request":
				value = &EnforcementRequest{}
			case "enforcement":
				value = &Enforcement{}
			case "error":
				value = &ErrorBody{}
			case "signing-vectors":
				t.Skip("package sign tests it")
			default:
				t.Fatalf("no type is known for %s", name)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			decoder := json.NewDecoder(bytes.NewReader(raw))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(value); err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			var want, got any
			if json.Unmarshal(raw, &want) != nil || json.Unmarshal(again, &got) != nil {
				t.Fatal("not JSON")
			}
			if !reflect.DeepEqual(want, got) {
				t.Errorf("after a round trip:\n got %s\nwant %s", again, raw)
			}
		})
	}
}

func TestGoldenRequestsParse(t *testing.T) {
	for _, name := range []string{"minimal", "full"} {
		raw, err := os.ReadFile(filepath.Join(golden, "put-request."+name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParseRequest(raw)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if name == "minimal" && (p.Timeout != DefaultTimeout || p.Limits.Processes != DefaultProcesses ||
			p.OutputLimitBytes != DefaultOutputLimitBytes || string(p.Code) != "print(42)\n") {
			t.Errorf("defaults: %+v", p)
		}
		if name == "full" && (string(p.Code) != "import helper\nprint(helper.answer())\n" ||
			!bytes.Equal(p.Files[1].Content, []byte{0, 1, 2, 3, 4, 5, 6, 7}) || p.Timeout != 30*time.Second ||
			p.Limits.FileSizeBytes != 1<<20) {
			t.Errorf("full: %+v", p)
		}
	}
}

func TestParseRequestNamesTheWrongField(t *testing.T) {
	long := strings.Repeat("a", 300)
	cases := map[string]struct{ body, wantField string }{
		"not JSON":                 {`{`, "body"},
		"empty":                    {``, "body"},
		"an array":                 {`[]`, "body"},
		"two objects":              {`{"command":["sh"],"code":""} {}`, "body"},
		"a field of the future":    {`{"command":["sh"],"code":"","priority":1}`, "body"},
		"no command":               {`{"code":""}`, "command"},
		"an empty command":         {`{"command":[""],"code":""}`, "command"},
		"NUL in the command":       {`{"command":["sh","a\u0000"],"code":""}`, "command[1]"},
		"NUL in an argument":       {`{"command":["sh"],"code":"","args":["\u0000"]}`, "args[0]"},
		"a number as code":         {`{"command":["sh"],"code":1}`, "code"},
		"code not base64":          {`{"command":["sh"],"code":"%","codeEncoding":"base64"}`, "code"},
		"an unknown encoding":      {`{"command":["sh"],"code":"","codeEncoding":"latin1"}`, "codeEncoding"},
		"an extension with slash":  {`{"command":["sh"],"code":"","extension":"./x"}`, "extension"},
		"an extension of dots":     {`{"command":["sh"],"code":"","extension":".."}`, "extension"},
		"an absolute path":         {`{"command":["sh"],"code":"","files":[{"path":"/etc/x","content":""}]}`, "files[0].path"},
		"a path upwards":           {`{"command":["sh"],"code":"","files":[{"path":"a/../../x","content":""}]}`, "files[0].path"},
		"a directory":              {`{"command":["sh"],"code":"","files":[{"path":"a/","content":""}]}`, "files[0].path"},
		"a long name":              {`{"command":["sh"],"code":"","files":[{"path":"` + long + `","content":""}]}`, "files[0].path"},
		"content not base64":       {`{"command":["sh"],"code":"","files":[{"path":"a","content":"%","encoding":"base64"}]}`, "files[0].content"},
		"an equals sign in a name": {`{"command":["sh"],"code":"","env":[{"name":"A=B","value":""}]}`, "env[0].name"},
		"NUL in a value":           {`{"command":["sh"],"code":"","env":[{"name":"A","value":"\u0000"}]}`, "env[0].value"},
		"no time":                  {`{"command":["sh"],"code":"","timeoutSeconds":0}`, "timeoutSeconds"},
		"negative time":            {`{"command":["sh"],"code":"","timeoutSeconds":-1}`, "timeoutSeconds"},
		"endless time":             {`{"command":["sh"],"code":"","timeoutSeconds":1e18}`, "timeoutSeconds"},
		"negative output":          {`{"command":["sh"],"code":"","outputLimitBytes":-1}`, "outputLimitBytes"},
		"negative processes":       {`{"command":["sh"],"code":"","limits":{"processes":-1}}`, "limits.processes"},
		"a glob upwards":           {`{"command":["sh"],"code":"","captureFiles":["../*"]}`, "captureFiles[0]"},
		"input that is no JSON":    {`{"command":["sh"],"code":"","input":"{"}`, "input"},
		"two documents":            {`{"command":["sh"],"code":"","input":"1 2"}`, "input"},
		"empty input":              {`{"command":["sh"],"code":"","input":""}`, "input"},
		"input as a value":         {`{"command":["sh"],"code":"","input":{}}`, "input"},
		"input that is too large":  {`{"command":["sh"],"code":"","input":"` + strings.Repeat(" ", 256<<10) + `1"}`, "input"},
		"a handler without name":   {`{"command":["sh"],"code":"","handler":{"language":"python"}}`, "handler.name"},
		"a handler of dots":        {`{"command":["sh"],"code":"","handler":{"name":"a.b","language":"python"}}`, "handler.name"},
		"a digit first":            {`{"command":["sh"],"code":"","handler":{"name":"1a","language":"python"}}`, "handler.name"},
		"a long handler":           {`{"command":["sh"],"code":"","handler":{"name":"` + long + `","language":"node"}}`, "handler.name"},
		"a handler in Bash":        {`{"command":["sh"],"code":"","handler":{"name":"a","language":"bash"}}`, "handler.language"},
		"a glob that is none":      {`{"command":["sh"],"code":"","captureFiles":["["]}`, "captureFiles[0]"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := ParseRequest([]byte(c.body))
			wrong, ok := err.(*InvalidError)
			if !ok || wrong.Field != c.wantField {
				t.Errorf("got %v, want a fault of field %s", err, c.wantField)
			}
		})
	}
}

func TestInputIsStandardInputUnlessThatIsGiven(t *testing.T) {
	for name, c := range map[string]struct{ more, wantInput, wantStdin string }{
		"neither":     {``, "", ""},
		"stdin":       {`,"stdin":"a"`, "", "a"},
		"input":       {`,"input":" {\"é\": 1.0}\n"`, " {\"é\": 1.0}\n", " {\"é\": 1.0}\n"},
		"both":        {`,"input":"null","stdin":"a"`, "null", "a"},
		"empty stdin": {`,"input":"1","stdin":""`, "1", ""},
	} {
		p, err := ParseRequest([]byte(`{"command":["sh"],"code":""` + c.more + `}`))
		if err != nil || p.Input != c.wantInput || p.Stdin != c.wantStdin {
			t.Errorf("%s: input %q, stdin %q, %v", name, p.Input, p.Stdin, err)
		}
	}
}

func TestValidUID(t *testing.T) {
	for uid, want := range map[string]bool{
		"6f1c2a34-8a51-4f0e-9a3c-2f6d0b7c9e11": true, "a": true, "": false, ".": false, "..": false, "a/b": false,
		"-a": false, "a.b": false, strings.Repeat("a", 63): true, strings.Repeat("a", 64): false, "ä": false,
	} {
		if ValidUID(uid) != want {
			t.Errorf("ValidUID(%q) is %v", uid, !want)
		}
	}
}

func TestTimeHasNineDigits(t *testing.T) {
	raw, err := json.Marshal(Time{time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))})
	if err != nil || string(raw) != `"2026-01-02T02:04:05.000000000Z"` {
		t.Errorf("%s, %v", raw, err)
	}
}
