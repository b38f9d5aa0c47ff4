// Command reader-redis reads flags with LaunchDarkly's Go SDK from the Relay Proxy's Redis: REDIS_URL
// says where that is, and REDIS_PREFIX which environment. It caches nothing.
package main

import (
	"log"
	"os"

	"flagcache/peers/internal/evaluate"

	ldredis "github.com/launchdarkly/go-server-sdk-redis-redigo/v3"
	"github.com/launchdarkly/go-server-sdk/v7/ldcomponents"
)

func main() {
	store := ldredis.DataStore().URL(os.Getenv("REDIS_URL")).Prefix(os.Getenv("REDIS_PREFIX"))
	log.Fatal(evaluate.Serve(ldcomponents.PersistentDataStore(store).NoCaching()))
}
