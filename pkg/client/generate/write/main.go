// Command write writes the files of package client that are made from api/openapi.yaml. Run it by go generate ./pkg/client.
package main

import (
	"fmt"
	"os"

	"transponder/api"
	"transponder/pkg/client/generate"
)

func main() {
	files, err := generate.Code(api.OpenAPI)
	for name, text := range files {
		if err == nil {
			err = os.WriteFile(name, text, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
