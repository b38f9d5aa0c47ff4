// Command reader reads flags with LaunchDarkly's Go SDK from a DynamoDB table.
package main

import (
	"log"

	"flagcache/peers/internal/evaluate"
	"flagcache/peers/internal/table"

	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
)

func main() {
	log.Fatal(evaluate.Serve(ldcomponents.PersistentDataStore(table.Store())))
}
