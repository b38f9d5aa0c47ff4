// Command read prints a file of variables as JSON, as docker compose reads .env files ("compose"), or as docker's
// --env-file does ("docker").
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/docker/cli/pkg/kvfile"
)

func read(how, path string) (map[string]string, error) {
	if how == "compose" {
		return dotenv.Read(path)
	}
	lines, err := kvfile.Parse(path, os.LookupEnv)
	values := map[string]string{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, "=")
		values[name] = value
	}
	return values, err
}

func main() {
	values, err := read(os.Args[1], os.Args[2])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(values)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
