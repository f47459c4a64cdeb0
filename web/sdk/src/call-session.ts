import { Call } from "./call.ts";
import type { CallOptions, CallSessionEvents, IncomingCall } from "./call-options.ts";
import { type Deferred, deferred, SdkError } from "./errors.ts";
import { Session } from "./session.ts";
import type { SessionStatus } from "./constants.ts";
import type { SessionOptions } from "./session-options.ts";

/** The connection to a server, with streams and calls. */
export class CallSession extends Session {
  private readonly _calls = new Map<string, Call>();
  private readonly _offers = new Map<string, string>(); // of incoming calls, by their ids: an offer comes before its call
  private readonly _registration: Deferred<this> = deferred<this>();
  private _isRegistered = false;

  /** @internal */
  constructor(options: SessionOptions) {
    super(options);
  }

  /** Resolves when the account of `sipOptions` is registered, so that the session can be called. Rejects when the session is over before. */
  get registered(): Promise<this> {
    return this._registration._promise;
  }

  /** The present status, one of SESSION_STATUS. It is REGISTERED when the account of `sipOptions` is registered. */
  override status(): SessionStatus {
    const status = super.status();
    return status === "ESTABLISHED" && this._isRegistered ? "REGISTERED" : status;
  }

  /** Sets the listener of an event. It replaces an earlier listener. */
  override on<E extends keyof CallSessionEvents & string>(event: E, listener: (...facts: CallSessionEvents[E]) => void): this {
    return super.on(event, listener as never);
  }

  /** Creates a call. The session must be ESTABLISHED or REGISTERED. */
  override createCall(options: CallOptions): Call {
    if (!this._isUp()) {
      throw this._wrongState();
    }
    if (typeof options?.callee !== "string") {
      throw new TypeError(`options${options ? ".callee" : ""} must be provided`);
    }
    return this._add(options);
  }

  /** The call with this id, if it is not over. */
  getCall(id: string): Call | undefined {
    return this._calls.get(id);
  }

  /** All calls of this session that are not over. */
  getCalls(): Call[] {
    return [...this._calls.values()];
  }

  /** Ends the session with all its streams and calls. It resolves when they have ended. */
  override disconnect(): Promise<void> {
    this._calls?.forEach((call) => void call.hangup()); // otherwise the server might keep the calls with the session
    return super.disconnect();
  }

  /** @internal */
  override _sip(): object {
    const { authenticationName, domain, login, outboundProxy, password, port, proxy, registerRequired } = this._options.sipOptions ?? {};
    return {
      sipLogin: login, sipAuthenticationName: authenticationName, sipPassword: password, sipDomain: domain, sipOutboundProxy: outboundProxy,
      sipProxy: proxy, sipPort: port, sipRegisterRequired: registerRequired,
    };
  }

  /** @internal */
  override _received(name: string, first: any, second: unknown): void {
    const id = first?.callId ?? first?.id ?? first;
    const call = this._calls.get(id);
    if (call) {
      call._received(name, first, second);
    } else if (name === "setRemoteSDP" && !this.getStream(id)) {
      this._offers.set(id, String(second));
      setTimeout(() => this._offers.delete(id), 5000); // the call follows at once, if it is one
    } else if (name === "notifyIncomingCall") {
      this._called(first);
    } else if (name === "registered") {
      this._isRegistered = true;
      this._registration._resolve(this);
      this._fire("REGISTERED", this as never);
    }
    super._received(name, first, second);
  }

  /** @internal */
  override _online(): void {
    super._online();
    this._calls.forEach((call) => void call._restart(true));
  }

  /** @internal A server that has not kept the session has forgotten its calls and its registration. */
  override _restored(kept: boolean): void {
    super._restored(kept);
    if (kept) {
      this._calls.forEach((call) => call._relinked());
    } else {
      this._isRegistered = false;
      this.getCalls().forEach((call) => call.status() === "NEW" || call._closed(new SdkError("disconnected")));
    }
  }

  /** @internal */
  override _close(error: SdkError): void {
    super._close(error);
    this._calls?.forEach((call) => call._closed(error)); // there are none yet if the constructor of Session ends the session
    this._registration?._reject(error);
  }

  private _add(about: CallOptions & Partial<IncomingCall>, offer?: string): Call {
    const { appKey, sipOptions } = this._options;
    const login = appKey === "clickToCallApp" ? "" : sipOptions?.login ?? "";
    const call: Call = new Call(this, login, about, offer, () => this._calls.delete(call.id()));
    this._calls.set(call.id(), call);
    return call;
  }

  private _called(about: IncomingCall): void {
    const offer = this._offers.get(about.callId) ?? "";
    this._offers.delete(about.callId);
    this._fire("INCOMING_CALL", this._add({ callee: "", ...about }, offer));
  }
}
