// Evaluates flags with flagd itself: one question a line on standard input, one answer a line on standard output. A
// question has definitions, the flag and contexts; the time is the machine's.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"go.uber.org/zap"
)

type question struct {
	Definitions json.RawMessage  `json:"definitions"`
	Flag        string           `json:"flag"`
	Contexts    []map[string]any `json:"contexts"`
}

type answer struct {
	Value   any    `json:"value,omitempty"`
	Variant string `json:"variant,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Error   string `json:"error,omitempty"`
	Refused string `json:"refused,omitempty"`
}

func answers(log *logger.Logger, asked question) []answer {
	found := make([]answer, len(asked.Contexts))
	flags, err := store.NewStore(log, []string{"peer"})
	if err != nil {
		panic(err)
	}
	json := evaluator.NewJSON(log, flags)
	err = json.SetState(sync.DataSync{FlagData: string(asked.Definitions), Source: "peer"})
	for at, attributes := range asked.Contexts {
		if err != nil {
			found[at].Refused = err.Error()
			continue
		}
		any := json.ResolveAsAnyValue(context.Background(), "", asked.Flag, attributes)
		found[at] = answer{Variant: any.Variant, Reason: any.Reason}
		// The server tells its clients so.
		if any.Reason == "FALLBACK" {
			found[at].Reason = "DEFAULT"
		}
		if any.Error != nil {
			found[at].Error = any.Error.Error()
		} else {
			found[at].Value = any.Value
		}
	}
	return found
}

func main() {
	log := logger.NewLogger(zap.NewNop(), false)
	questions := json.NewDecoder(bufio.NewReader(os.Stdin))
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	written := json.NewEncoder(out)
	for {
		var asked question
		if questions.Decode(&asked) != nil {
			return
		}
		if err := written.Encode(answers(log, asked)); err != nil {
			panic(err)
		}
	}
}
