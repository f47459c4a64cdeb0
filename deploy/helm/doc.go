// Package helm tests what of the Helm chart in transponder needs no Helm. The module in test does the rest: make helm.
package helm
