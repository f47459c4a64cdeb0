package wcs

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strings"

	"transponder/internal/sip"
)

// accountFields are the members of a connection message that describe the SIP account of the page.
type accountFields struct {
	Login         text   `json:"sipLogin"`
	AuthName      text   `json:"sipAuthenticationName"`
	Password      text   `json:"sipPassword"`
	Domain        text   `json:"sipDomain"`
	OutboundProxy text   `json:"sipOutboundProxy"`
	Proxy         text   `json:"sipProxy"` // another name of OutboundProxy
	Port          number `json:"sipPort"`
	Register      text   `json:"sipRegisterRequired"`
}

// maxWord is the longest that a name, a number or an address may be, in bytes.
const maxWord = 255

// takeAccount removes the password from a connection message, which is echoed and kept, and returns the SIP account that the message
// describes.
func takeAccount(data json.RawMessage, echo map[string]json.RawMessage) (sip.Account, error) {
	maps.DeleteFunc(echo, func(name string, _ json.RawMessage) bool {
		return strings.EqualFold(name, "sipPassword") // the decoder takes every spelling
	})
	var f accountFields
	if err := json.Unmarshal(data, &f); err != nil {
		return sip.Account{}, err
	}
	if f.OutboundProxy == "" {
		f.OutboundProxy = f.Proxy
	}
	for _, w := range []struct {
		name  string
		value text
	}{
		{"sipLogin", f.Login}, {"sipAuthenticationName", f.AuthName}, {"sipPassword", f.Password}, {"sipDomain", f.Domain},
		{"sipOutboundProxy", f.OutboundProxy},
	} {
		if err := checkWord(w.name, string(w.value)); err != nil {
			return sip.Account{}, err
		}
	}
	if f.Port < 0 || f.Port > 65535 || float64(f.Port) != math.Trunc(float64(f.Port)) {
		return sip.Account{}, &sip.RequestError{Field: "sipPort", Reason: "is no port number"}
	}
	return sip.Account{
		Login:         string(f.Login),
		AuthName:      string(f.AuthName),
		Password:      string(f.Password),
		Domain:        string(f.Domain),
		OutboundProxy: string(f.OutboundProxy),
		Port:          int(f.Port),
		Register:      f.registers(),
	}, nil
}

// registers says whether the account is to be registered. Pages that leave the member out wait for the registration.
func (f accountFields) registers() bool {
	switch strings.ToLower(string(f.Register)) {
	case "false", "0", "no", "off":
		return false
	}
	return true
}

// checkWord refuses what cannot be a name, a number or an address. The value is not repeated: it may be a password.
func checkWord(name, value string) error {
	switch {
	case len(value) > maxWord:
		return &sip.RequestError{Field: name, Reason: fmt.Sprintf("is longer than %d bytes", maxWord)}
	case strings.ContainsFunc(value, isControl):
		return &sip.RequestError{Field: name, Reason: "contains control characters"}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }
