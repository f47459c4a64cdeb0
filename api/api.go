// Package api embeds the description of the HTTP API, which the server sends to clients that ask for it.
package api

import _ "embed"

// OpenAPI is the description of the HTTP API, in YAML.
//
//go:embed openapi.yaml
var OpenAPI []byte
