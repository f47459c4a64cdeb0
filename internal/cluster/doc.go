// Package cluster says who runs which push and who has which stream: one server alone, or many over NATS.
//
// A push is a record under a key that its stream and its target make; whoever has the record's claim runs the push. The records lie behind
// state.Keeper: in the server's own SQLite file, or in JetStream's key-value buckets. Owners are processes: a name of a node with the
// incarnation of its process. A record whose owner does not live is free.
package cluster
