package metrics

import "transponder/internal/certificate"

var (
	certificateEnd    = desc("tls_certificate_not_after_seconds", "When a certificate runs out, in seconds since 1970.", "name")
	certificateFiles  = desc("tls_certificate_files_total", "Certificate files that were read again (loaded), or could not be used (refused).", "result")
	certificateOrders = desc("tls_acme_orders_total", "Certificates that an authority has issued (issued), and orders that failed (failed).", "result")
)

func (s sink) certificates(st certificate.Stats) {
	for name, end := range st.NotAfter {
		s.gauge(certificateEnd, float64(end.Unix()), name)
	}
	s.counter(certificateFiles, st.Loaded, "loaded")
	s.counter(certificateFiles, st.Refused, "refused")
	s.counter(certificateOrders, st.Ordered, "issued")
	s.counter(certificateOrders, st.Failed, "failed")
}
