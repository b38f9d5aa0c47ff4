package table

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

// Item is what the stores need to know of a flag or segment beside its JSON.
type Item struct {
	Key     string `json:"key"`
	Version int    `json:"version"`
}

// Payload is a whole environment, its items as raw JSON by key.
type Payload struct {
	Flags    map[string]json.RawMessage `json:"flags"`
	Segments map[string]json.RawMessage `json:"segments"`
}

// Fetch reads the environment from LaunchDarkly's polling endpoint.
func Fetch() (Payload, error) {
	var payload Payload
	request, err := http.NewRequest(http.MethodGet, os.Getenv("LAUNCHDARKLY_BASE_URI")+"/sdk/latest-all", nil)
	if err != nil {
		return payload, err
	}
	request.Header.Set("Authorization", os.Getenv("LAUNCHDARKLY_SDK_KEY"))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return payload, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return payload, fmt.Errorf("failed to fetch the payload: %s", response.Status)
	}
	return payload, json.NewDecoder(response.Body).Decode(&payload)
}
