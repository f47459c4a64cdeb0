package config

import "transponder/internal/cluster"

// clusterSettings are the settings of a server among others.
func (c *Config) clusterSettings() []setting {
	return []setting{
		text("cluster_nats_url", &c.Cluster.NATS),
		text("cluster_nats_creds", &c.Cluster.Creds),
		text("cluster_nats_ca_file", &c.Cluster.CAFile),
		text("cluster_name", &c.Cluster.Name),
		text("cluster_node_id", &c.Cluster.Node),
		whole("cluster_replicas", &c.Cluster.Replicas, cluster.ReplicasRange),
		text("cluster_rtmp_address", &c.Cluster.RTMPAddress),
		text("cluster_http_url", &c.Cluster.HTTPURL),
		milliseconds("cluster_lease_ms", &c.Cluster.Lease, cluster.LeaseRange),
		text("cluster_isolated", (*string)(&c.Cluster.Isolated)),
	}
}
