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
	clusterRequests   = desc("cluster_requests_total", "Requests to other servers, by verb and result.", "verb", "result")
	clusterLatency    = desc("cluster_request_seconds", "How long requests to other servers took, until an answer or the end of waiting.")
	clusterAnswered   = desc("cluster_requests_answered_total", "Requests of other servers, by result.", "result")
	clusterCalls      = desc("cluster_calls_total", "Requests of clients that another server was asked to answer, by result.", "result")
	clusterServed     = desc("cluster_calls_served_total", "Requests of clients of other servers that this server has answered, by whether they came for the first time.", "result")
	clusterRelays     = desc("cluster_relays", "Streams that come from other servers (in) or go there (out).", "direction")
	clusterRelayed    = desc("cluster_relays_total", "Such streams so far, by direction and result.", "direction", "result")
	clusterRelayBytes = desc("cluster_relay_bytes_total", "Bytes of such streams.", "direction")
	clusterEvents     = desc("cluster_events_total", "Events of pushes of this server for the others, by result.", "result")
	clusterEventTries = desc("cluster_event_failures_total", "Tries to hand an event to NATS that failed.")
	clusterReceived   = desc("cluster_events_received_total", "Events of pushes of all servers that this server has read.")
	clusterWaiting    = desc("cluster_events_waiting", "Events of pushes of this server that NATS has not taken yet.")
	clusterLag        = desc("cluster_events_lag_seconds", "The age of the oldest of these.")
	clusterPast       = desc("cluster_history_waiting", "Pushes of this server that are over and that NATS has not taken yet.")
	clusterPastLost   = desc("cluster_history_lost_total", "Pushes of this server that are over and that other servers never get.")
	clusterShared     = desc("cluster_shared_records", "Users, logins, keys, revoked tokens, destinations and applications of the cluster that this server knows.")
	clusterStale      = desc("cluster_shared_stale", "1 if what other servers change of these does not come in.")
	clusterRefused    = desc("cluster_shared_refused_total", "Changes of these that were refused because NATS was not there.")
	clusterRereads    = desc("cluster_shared_rereads_total", "How often all of these were read anew.")
	clusterEnds       = desc("cluster_ends_waiting", "Sessions, streams and pushes of this server whose ends another server could not tell backends yet, if this one died.")
	clusterClaims     = desc("cluster_claims_total", "Claims on pushes, by result.", "result")
	clusterEpochs     = desc("cluster_epoch_conflicts_total", "Pushes that this server gave up because another one had claimed them later.")
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
	for kind, n := range st.Requests.ByKind {
		s.counter(clusterRequests, n, kind.Verb, string(kind.Outcome))
	}
	s.histogram(clusterLatency, cluster.LatencyBounds[:], st.Requests.Buckets[:], st.Requests.Total)
	s.counter(clusterAnswered, st.Answered-st.Busy, "answered")
	s.counter(clusterAnswered, st.Busy, "busy")
	s.counter(clusterRebuilds, st.Rebuilds)
	s.gauge(clusterSkew, st.Skew.Seconds())
	s.gauge(clusterNames, float64(st.Names-st.Provisional), "known")
	s.gauge(clusterNames, float64(st.Provisional), "provisional")
	s.counter(clusterConflicts, st.NameConflict)
}

func (s sink) router(st cluster.RouterStats) {
	s.counter(clusterCalls, st.Asked-st.Unheard, "answered")
	s.counter(clusterCalls, st.Unheard, "unheard")
	s.counter(clusterServed, st.Served-st.Again, "done")
	s.counter(clusterServed, st.Again, "repeated")
}

func (s sink) relays(st cluster.RelayStats) {
	s.relaysOf("in", st.In)
	s.relaysOf("out", st.Out)
}

func (s sink) relaysOf(direction string, st cluster.RelayDirection) {
	s.gauge(clusterRelays, float64(st.Now), direction)
	s.counter(clusterRelayed, st.Opened, direction, "opened")
	s.counter(clusterRelayed, st.Failed, direction, "failed")
	s.counter(clusterRelayBytes, st.Bytes, direction)
}

func (s sink) events(st cluster.EventsStats) {
	s.counter(clusterEvents, st.Written, "sent")
	s.counter(clusterEvents, st.Lost, "lost")
	s.counter(clusterEventTries, st.Failures)
	s.counter(clusterReceived, st.Received)
	s.gauge(clusterWaiting, float64(st.Waiting))
	s.gauge(clusterLag, st.Lag.Seconds())
}

func (s sink) shared(st cluster.SharedStats) {
	stale := 0.0
	if st.Stale {
		stale = 1
	}
	s.gauge(clusterShared, float64(st.Records))
	s.gauge(clusterStale, stale)
	s.counter(clusterRefused, st.Refused)
	s.counter(clusterRereads, st.Rereads)
}

func (s sink) past(st cluster.PastStats) {
	s.gauge(clusterPast, float64(st.Waiting))
	s.counter(clusterPastLost, st.Lost)
}

func (s sink) claims(st cluster.ClaimStats) {
	s.counter(clusterClaims, st.Created, "created")
	s.counter(clusterClaims, st.Taken, "taken")
	s.counter(clusterClaims, st.Refused, "refused")
	s.counter(clusterClaims, st.Isolated, "isolated")
	s.counter(clusterClaims, st.Failed, "failed")
	s.counter(clusterEpochs, st.EpochConflicts)
}
