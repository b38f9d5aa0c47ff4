// Command reader is the reader function as LaunchDarkly's Go SDK makes it: daemon mode over a
// DynamoDB table.
//
// An event {"context": {...}, "flag": KEY} asks for one flag, one without "flag" for all.
package main

import (
	"errors"
	"log"
	"time"

	"flagcache/peers/internal/function"
	"flagcache/peers/internal/table"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces/flagstate"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
)

type event struct {
	Context ldcontext.Context `json:"context"`
	Flag    *string           `json:"flag"`
	Default ldvalue.Value     `json:"default"`
}

type evaluation struct {
	Flag      string                    `json:"flag,omitempty"`
	Value     ldvalue.Value             `json:"value"`
	Variation ldvalue.OptionalInt       `json:"variation"`
	Reason    ldreason.EvaluationReason `json:"reason"`
	Version   int                       `json:"version,omitempty"`
}

type evaluations struct {
	Flags map[string]evaluation `json:"flags"`
}

func main() {
	client, err := makeClient()
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(function.Serve(func(event event) (any, error) {
		if event.Flag != nil {
			return one(client, event)
		}
		return all(client, event)
	}))
}

func makeClient() (*ld.LDClient, error) {
	config := ld.Config{
		DataSource: ldcomponents.ExternalUpdatesOnly(),
		DataStore:  ldcomponents.PersistentDataStore(table.Store()),
		Events:     ldcomponents.NoEvents(),
		Logging:    ldcomponents.Logging().MinLevel(ldlog.Error),
	}
	return ld.MakeCustomClient("sdk-key", config, 10*time.Second)
}

func one(client *ld.LDClient, event event) (any, error) {
	value, detail, _ := client.JSONVariationDetail(*event.Flag, event.Context, event.Default)
	return evaluation{
		Flag:      *event.Flag,
		Value:     value,
		Variation: detail.VariationIndex,
		Reason:    detail.Reason,
	}, nil
}

func all(client *ld.LDClient, event event) (any, error) {
	state := client.AllFlagsState(event.Context, flagstate.OptionWithReasons())
	if !state.IsValid() {
		return nil, errors.New("the SDK could not read the table")
	}
	found := evaluations{Flags: make(map[string]evaluation)}
	for key := range state.ToValuesMap() {
		flag, _ := state.GetFlag(key)
		found.Flags[key] = evaluation{
			Value:     flag.Value,
			Variation: flag.Variation,
			Reason:    flag.Reason,
			Version:   flag.Version,
		}
	}
	return found, nil
}
