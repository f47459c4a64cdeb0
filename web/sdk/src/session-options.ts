// What a page gives to a session and hears from it: types only.

import type { Backoff } from "./backoff.ts";
import type { Session } from "./session.ts";
import type { Abortable } from "./stream-options.ts";

/** How to reach the server, and what to tell it. */
export interface SessionOptions extends Abortable {
  /** The server's socket, such as `wss://host:8443`, or `wss://host:8444/ws` where only that port is open. */
  urlServer: string;
  /**
   * true, or how patiently: a lost socket is opened anew, and streams that were live come back. The server is asked to keep the
   * session meanwhile, so that they flow on, if it can. If absent, the session ends with its socket, as in the vendor's SDK.
   */
  reconnect?: boolean | Backoff;
  /** The application on the server; "defaultApp" if absent. */
  appKey?: string;
  /** Anything that the server's application is to be told, up to 8 KiB as JSON. */
  custom?: unknown;
  /** How long opening the socket may take, in ms; if absent, as long as the browser lets it. */
  timeout?: number;
  /** Ping the server so often, in ms; its own pings are enough, if absent. */
  pingInterval?: number;
  /** With probesInterval: so many intervals of silence end the socket; 6 if absent, 0 for never. */
  receiveProbes?: number;
  /** In ms; 5000 if absent. The server says something each 5 seconds. */
  probesInterval?: number;
  /** What goes to each RTCPeerConnection, such as iceServers. */
  mediaOptions?: RTCConfiguration;
  /** Asks the server to keep the session for a while when its socket is lost; true if absent and `reconnect` is not. */
  keepAlive?: boolean;
  /** Of a session that was kept, as its ESTABLISHED told it. */
  authToken?: string;
  /** Of the vendor's SDK, for calls: not supported here. */
  sipOptions?: unknown;
  /** Of the vendor's SDK, for its load balancer: not supported here. */
  lbUrl?: string;
  /** Of the vendor's SDK: taken, and passed over. */
  flashProto?: string;
  /** Of the vendor's SDK: taken, and passed over. */
  flashPort?: number;
  /** Of the vendor's SDK: taken, and passed over. */
  logger?: unknown;
}

/** What `session.on` tells of, and with what. */
export interface SessionEvents {
  PENDING: [session: Session];
  CONNECTED: [session: Session];
  /** With the server's description of the session, which has its `authToken`. */
  ESTABLISHED: [session: Session, connection: any];
  RECONNECTING: [session: Session];
  DISCONNECTED: [session: Session];
  FAILED: [session: Session];
  WARN: [warning: any];
  DEBUG: [event: any];
  APP_DATA: [data: any];
  SEND_DATA_STATUS: [data: any];
  REGISTERED: [session: Session];
  UNREGISTERED: [session: Session];
  INCOMING_CALL: [call: any];
}
