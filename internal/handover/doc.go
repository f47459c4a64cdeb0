// Package handover lets a new process take over from an old one without a refused connection: the sockets go from one to the other, and the
// kernel queues the connections that come meanwhile.
//
// The old process listens on a unix socket in its state folder (Server). The new one connects (Connect), gets the sockets as file
// descriptors, prepares all that can fail, and says that it is ready. The old one ends its work, says that the sockets are the new one's, and
// exits once the new one serves. If the new one dies before it is ready, nothing has changed. If it dies between the two, the old process
// executes its own image again with the same sockets (Again).
//
// Sockets also come from systemd, which keeps them while a service is restarted (Inherited, Manager.Store), and from the image before.
//
// Messages are JSON, one a packet. Members are only ever added, so that an old and a new version understand each other. A process of another
// user than this one's and root is refused.
package handover
