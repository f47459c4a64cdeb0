package access

import "log/slog"

// Secret is a token, a key or a password. It does not print itself.
type Secret string

const hidden = "***"

// String hides the secret.
func (Secret) String() string { return hidden }

// GoString hides the secret.
func (Secret) GoString() string { return hidden }

// LogValue hides the secret.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the secret, so that JSON does not show it either.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
