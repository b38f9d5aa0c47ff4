// Package function serves the Lambda Runtime API for the Go peers, as lean as it can be done, so
// that they are measured with the least overhead.
package function

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
)

const requestID = "Lambda-Runtime-Aws-Request-Id"

// Serve hands every invocation's event to handle and sends back what it answers. It returns only
// when the Runtime API is gone.
func Serve[Event any](handle func(Event) (any, error)) error {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		id, body, err := next(base)
		if err != nil {
			return err
		}
		outcome, answer := "response", any(nil)
		var event Event
		if err = json.Unmarshal(body, &event); err == nil {
			answer, err = handle(event)
		}
		if err != nil {
			outcome = "error"
			answer = map[string]string{"errorType": "Error", "errorMessage": err.Error()}
		}
		if err := send(base+id+"/"+outcome, answer); err != nil {
			return err
		}
	}
}

func next(base string) (id string, body []byte, err error) {
	invocation, err := http.Get(base + "next")
	if err != nil {
		return "", nil, fmt.Errorf("failed to fetch the next invocation: %w", err)
	}
	defer invocation.Body.Close()
	body, err = io.ReadAll(invocation.Body)
	return invocation.Header.Get(requestID), body, err
}

func send(url string, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	response, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("failed to answer an invocation: %w", err)
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
