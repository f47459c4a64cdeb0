// Package helmtest holds the Helm chart, the Compose file and the list of parts (SBOM) to what others say about them: Helm's own linter and templates, the
// schemas of Kubernetes, the types of the Prometheus operator, the schemas of Compose and CycloneDX. Nothing but tests is in it.
//
// It is a module of its own, because Helm brings a hundred modules that the server must not have. Run it by make helm. deploy/helm has the
// tests of the chart that need none of this.
package helmtest
