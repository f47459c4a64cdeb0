// Package api holds the contracts as files, so that the server can hand them out.
package api

import _ "embed"

// OpenAPI is the description of the HTTP API, in YAML.
//
//go:embed openapi.yaml
var OpenAPI []byte
