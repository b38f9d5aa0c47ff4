// Package evaluate is the reader function as LaunchDarkly's Go SDK makes it: daemon mode over some
// persistent store.
//
// An event {"context": {...}, "flag": KEY} asks for one flag, one without "flag" for all.
package evaluate

import (
	"errors"
	"time"

	"flagcache/peers/internal/function"

	"github.com/launchdarkly/go-sdk-common/v3/ldcontext"
	"github.com/launchdarkly/go-sdk-common/v3/ldlog"
	"github.com/launchdarkly/go-sdk-common/v3/ldreason"
	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
	ld "github.com/launchdarkly/go-server-sdk/v7"
	"github.com/launchdarkly/go-server-sdk/v7/interfaces/flagstate"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
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

// Serve answers invocations out of a store. It returns only when the Runtime API is gone.
func Serve(store subsystems.ComponentConfigurer[subsystems.DataStore]) error {
	config := ld.Config{
		DataSource: ldcomponents.ExternalUpdatesOnly(),
		DataStore:  store,
		Events:     ldcomponents.NoEvents(),
		Logging:    ldcomponents.Logging().MinLevel(ldlog.Error),
	}
	client, err := ld.MakeCustomClient("sdk-key", config, 10*time.Second)
	if err != nil {
		return err
	}
	return function.Serve(func(event event) (any, error) {
		if event.Flag != nil {
			return one(client, event)
		}
		return all(client, event)
	})
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
		return nil, errors.New("the SDK could not read the store")
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
