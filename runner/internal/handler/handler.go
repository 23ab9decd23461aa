// Package handler holds the programs that call a function of the code with the
// input and write what it returns as the result. They run in the sandbox, in
// the place of the code: `interpreter call.py NAME CODE ARGUMENTS…`, with every
// Python from 3.8 and every Node from 18, and need nothing but the standard
// library. What the user sees of a program (arguments, paths, traceback, exit
// code) is as if the code itself had been started.
package handler

import (
	_ "embed"

	"github.com/soulbox-dev/soulbox/runner/internal/wire"
)

//go:embed call.py
var python []byte

//go:embed call.cjs
var node []byte

// Caller is the program for a language, and a name for its file.
func Caller(language wire.HandlerLanguage) (name string, source []byte) {
	if language == wire.Node {
		return "call.cjs", node
	}
	return "call.py", python
}
