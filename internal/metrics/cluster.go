package metrics

import "transponder/internal/cluster"

var (
	clusterNodes      = desc("cluster_nodes", "Servers of the cluster that live, with this one, as far as this one knows.")
	clusterIsolated   = desc("cluster_isolated", "1 if this server cannot reach the others.")
	clusterIsolations = desc("cluster_isolations_total", "How often this server could not reach the others.")
	clusterLease      = desc("cluster_lease_remaining_seconds", "What is left of the lease of this server.")
	clusterRenew      = desc("cluster_renew_seconds", "How long the last renewal of the lease took.")
	clusterRenewals   = desc("cluster_renewals_total", "Renewals of the lease, by result.", "result")
	clusterShut       = desc("cluster_gate_closed_seconds_total", "Time in which this server was not allowed to write to destinations.")
	clusterRequests   = desc("cluster_requests_total", "Requests to other servers, by result.", "result")
	clusterAsked      = desc("cluster_request_seconds_total", "Time that these requests took.")
	clusterAnswered   = desc("cluster_requests_answered_total", "Requests of other servers.")
	clusterRebuilds   = desc("cluster_watch_rebuilds_total", "How often the watch of the other servers was built anew.")
	clusterSkew       = desc("cluster_clock_skew_seconds", "The clock of NATS minus that of this server.")
	clusterNames      = desc("cluster_names", "Names of streams that this server has, by whether the cluster knows.", "state")
	clusterConflicts  = desc("cluster_name_conflicts_total", "Streams that ended because another server has the name.")
)

func (s sink) cluster(st cluster.Stats) {
	isolated := 0.0
	if st.Isolated {
		isolated = 1
	}
	s.gauge(clusterNodes, float64(st.Nodes))
	s.gauge(clusterIsolated, isolated)
	s.counter(clusterIsolations, st.Isolations)
	s.gauge(clusterLease, st.Lease.Seconds())
	s.gauge(clusterRenew, st.Renew.Seconds())
	s.counter(clusterRenewals, st.Renewals, "held")
	s.counter(clusterRenewals, st.RenewErrors, "failed")
	s.seconds(clusterShut, st.Shut.Seconds())
	s.counter(clusterRequests, st.Asked-st.AskErrors, "answered")
	s.counter(clusterRequests, st.AskErrors, "failed")
	s.seconds(clusterAsked, st.AskTime.Seconds())
	s.counter(clusterAnswered, st.Answered)
	s.counter(clusterRebuilds, st.Rebuilds)
	s.gauge(clusterSkew, st.Skew.Seconds())
	s.gauge(clusterNames, float64(st.Names-st.Provisional), "known")
	s.gauge(clusterNames, float64(st.Provisional), "provisional")
	s.counter(clusterConflicts, st.NameConflict)
}
