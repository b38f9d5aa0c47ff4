// Command store-official is a store function over LaunchDarkly's own Go store: any event fetches
// the environment and replaces the table's items with it, as the SDK does when it connects.
package main

import (
	"encoding/json"
	"log"

	"flagcache/peers/internal/function"
	"flagcache/peers/internal/table"

	"github.com/launchdarkly/go-server-sdk/v7/subsystems"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"
)

func main() {
	store, err := table.Store().Build(subsystems.BasicClientContext{})
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(function.Serve(func(json.RawMessage) (any, error) {
		payload, err := table.Fetch()
		if err != nil {
			return nil, err
		}
		flags, err := collection(ldstoreimpl.Features(), payload.Flags)
		if err != nil {
			return nil, err
		}
		segments, err := collection(ldstoreimpl.Segments(), payload.Segments)
		if err != nil {
			return nil, err
		}
		// The order in which the SDK writes: what others depend on comes first.
		err = store.Init([]ldstoretypes.SerializedCollection{segments, flags})
		return map[string]int{"flags": len(payload.Flags), "segments": len(payload.Segments)}, err
	}))
}

func collection(kind ldstoretypes.DataKind, items map[string]json.RawMessage) (ldstoretypes.SerializedCollection, error) {
	found := ldstoretypes.SerializedCollection{Kind: kind}
	for key, raw := range items {
		// Through the SDK's structs and back, as it does with all that it stores.
		item, err := kind.Deserialize(raw)
		if err != nil {
			return found, err
		}
		found.Items = append(found.Items, ldstoretypes.KeyedSerializedItemDescriptor{
			Key: key,
			Item: ldstoretypes.SerializedItemDescriptor{
				Version:        item.Version,
				SerializedItem: kind.Serialize(item),
			},
		})
	}
	return found, nil
}
