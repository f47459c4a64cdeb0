// The options and events of a session. There are only types here.

import type { Backoff } from "./backoff.ts";
import type { SipOptions } from "./call-options.ts";
import type { Session } from "./session.ts";
import type { Abortable } from "./stream-options.ts";

/** The options of `Flashphoner.createSession`. */
export interface SessionOptions extends Abortable {
  /** The address of the server's WebSocket, such as `wss://host:8443`, or `wss://host:8444/ws` if only that port is open. */
  urlServer: string;
  /**
   * With true or a Backoff, the session opens another socket when its socket is lost, and streams that were live come back. The
   * server is asked to keep the session meanwhile, so that the streams can go on without a break. Without this option, the
   * session ends with its socket, as in the vendor's SDK.
   */
  reconnect?: boolean | Backoff;
  /** The application on the server; "defaultApp" by default. */
  appKey?: string;
  /** Any data for the server's application, up to 8 KiB as JSON. With `token` it must be an object. */
  custom?: unknown;
  /**
   * Tells the server who the page is: a token (JWT) or a key. A function is called before each connection, and before a stream if the last
   * token has expired; it can fetch a new one. The server gets the token as `custom.token`.
   */
  token?: string | (() => string | Promise<string>);
  /** How long the socket may take to open, in ms; by default the browser decides. */
  timeout?: number;
  /** The interval at which the server is pinged, in ms. By default it is not: the server sends pings itself. */
  pingInterval?: number;
  /** After so many intervals without a message from the server, the socket counts as lost; 6 by default, 0 for never. */
  receiveProbes?: number;
  /** The length of such an interval in ms; 5000 by default. The server sends something every 5 seconds. */
  probesInterval?: number;
  /** The configuration of each RTCPeerConnection. Its iceServers take the place of those that the server tells. */
  mediaOptions?: RTCConfiguration;
  /** Asks the server to keep the session for a while when its socket is lost. By default true if `reconnect` is set. */
  keepAlive?: boolean;
  /** The token of a session that the server has kept. The listener of ESTABLISHED gets it. */
  authToken?: string;
  /** The account for calls. It needs the SDK with calls. */
  sipOptions?: SipOptions;
  /** An option of the vendor's SDK, for the vendor's load balancer. It is not supported here. */
  lbUrl?: string;
  /** An option of the vendor's SDK. It has no effect here. */
  flashProto?: string;
  /** An option of the vendor's SDK. It has no effect here. */
  flashPort?: number;
  /** An option of the vendor's SDK. It has no effect here. */
  logger?: unknown;
}

/** The events of `session.on`, with the arguments of their listeners. */
export interface SessionEvents {
  PENDING: [session: Session];
  CONNECTED: [session: Session];
  /** `connection` is the server's description of the session, with the `authToken`. */
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
  INCOMING_CALL: [call: unknown];
}
