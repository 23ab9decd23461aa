package output

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
)

// Log copies output to the container's log, one JSON object a line, so that a
// program cannot write lines that look like the runner's own. It never makes
// a program wait: what the log does not take in time is left out and counted.
type Log struct {
	to      io.Writer
	blocks  chan logBlock
	dropped chan struct{}
}

const (
	logQueue     = 16      // blocks of up to 64 KiB
	logLineBytes = 8 << 10 // container runtimes split at 16 KiB, and JSON escapes
)

type logBlock struct {
	execution, stream string
	text              []byte
}

type logLine struct {
	Execution     string `json:"execution"`
	Stream        string `json:"stream,omitempty"`
	Text          string `json:"text"`
	DroppedBlocks int    `json:"droppedBlocks,omitempty"`
}

// NewLog writes to that writer, the container's standard output.
func NewLog(to io.Writer) *Log {
	return &Log{to: to, blocks: make(chan logBlock, logQueue), dropped: make(chan struct{}, 1<<10)}
}

// Tee takes a copy of a block.
func (l *Log) Tee(execution, stream string, block []byte) {
	select {
	case l.blocks <- logBlock{execution, stream, bytes.Clone(block)}:
	default:
		select {
		case l.dropped <- struct{}{}:
		default:
		}
	}
}

// Start writes until the context ends or the log cannot be written.
func (l *Log) Start(ctx context.Context) error {
	encoder := newEncoder(l.to)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case block := <-l.blocks:
			if err := l.write(encoder, block); err != nil {
				return err
			}
		}
	}
}

func newEncoder(to io.Writer) *json.Encoder {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	return encoder
}

func (l *Log) write(encoder *json.Encoder, block logBlock) error {
	missing := 0
	for len(l.dropped) > 0 {
		<-l.dropped
		missing++
	}
	for line := range bytes.Lines(block.text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		for first := true; first || len(line) > 0; first = false {
			n := min(len(line), logLineBytes)
			text := strings.ToValidUTF8(string(line[:n]), "\uFFFD")
			line = line[n:]
			if err := encoder.Encode(logLine{block.execution, block.stream, text, missing}); err != nil {
				return err
			}
			missing = 0
		}
	}
	return nil
}
