// Package machine installs the Debian package on a fresh Debian 12 with a systemd of its own, and uses it as an operator would. Nothing but tests is
// in it. They need root, and fetch Debian's packages. Run them by make e2e-package.
package machine
