package guard

import (
	"net/http/httptest"
	"testing"
)

// A request with the header of any proxy does not come from this machine alone, whoever opened the connection.
func TestProxyOnThisMachine(t *testing.T) {
	for _, header := range []string{"", "forwarded", "VIA", "X-Forwarded-For", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Ray", "Fastly-Client-IP"} {
		r := httptest.NewRequest("GET", "http://localhost/", nil)
		r.RemoteAddr = "127.0.0.1:4000"
		if header != "" {
			r.Header.Set(header, "192.0.2.7")
		}
		if IsLocal(r) != (header == "") {
			t.Errorf("with %q it counts as local: %v", header, IsLocal(r))
		}
	}
}
