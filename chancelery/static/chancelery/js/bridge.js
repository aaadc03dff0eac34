/*
 * The page's end of a socket: JSON both ways, streams of a demultiplexer, jobs, and a connection that comes back.
 *
 *     const bridge = new WebSocketBridge();
 *     bridge.connect("/chat/");
 *     bridge.listen((message) => console.log(message));
 */

import { BridgeEvent, Emitter, isolated } from "./events.js";
import { Jobs, JobError } from "./jobs.js";
import { checked, Line, shouldReconnect } from "./line.js";

/* The address of a socket: on this page's host, and ws: or wss: as the page is http: or https:. */
function address(url) {
  const found = new URL(url ?? "/", globalThis.location?.href);
  found.protocol = found.protocol.replace(/^http/, "ws");
  found.hash = "";
  return found.href;
}

export class WebSocketBridge extends Emitter {
  static shouldReconnect = shouldReconnect;

  #options;
  #line = null;
  #keepJobs = false;
  #resumeJobs = true;
  #default = null;
  #streams = new Map();
  #jobs = new Jobs(
    (frame) => this.#line?.readyState === Line.OPEN && this.send(frame), // nobody knows the job on another connection
    (type, facts) => this.dispatchEvent(new BridgeEvent(type, facts)),
  );

  constructor(options = {}) {
    super();
    this.#options = options;
  }

  get socket() {
    return this.#line;
  }

  connect(url, protocols, options = {}) {
    const { keepJobs = false, resumeJobs = true, ...others } = { ...this.#options, ...options };
    const settings = checked(others);
    const to = address(url);
    this.#leave();
    this.#keepJobs = keepJobs;
    this.#resumeJobs = resumeJobs;
    this.#jobs.mends = resumeJobs && !keepJobs;
    const line = new Line(to, protocols, settings, (type, facts) => {
      if (line === this.#line || type === "dropped") this.#heard(type, facts);
    });
    this.#line = line;
  }

  listen(callback) {
    this.#default = callback;
  }

  demultiplex(stream, callback) {
    this.#streams.set(stream, callback);
  }

  /* Sends, or keeps for the next connection; false when it can do neither, which a "dropped" event says, too. */
  send(message) {
    if (this.#line === null) throw new Error("there is no socket to send on: call connect() first");
    return this.#line.send(JSON.stringify(message));
  }

  stream(stream) {
    return {
      send: (payload) => this.send({ stream, payload }),
      job: (id) => this.#jobs.job(id, stream),
      jobs: () => this.#jobs.list(stream),
    };
  }

  /* The job of this id, whether its events have come already or not. */
  job(id) {
    return this.#jobs.job(id);
  }

  /* A promise of the jobs that are this socket's or its user's: of each its id, its state, and the seq of its last event. */
  jobs() {
    return this.#jobs.list();
  }

  close(code, reason) {
    this.#line?.close(code, reason);
  }

  /* For another connection. What its events would still say is told now, or is no longer of interest. */
  #leave() {
    if (this.#line === null) return;
    this.#line.close();
    this.#line = null;
    this.#jobs.lose(1000, this.#keepJobs);
  }

  #heard(type, facts) {
    this.dispatchEvent(new BridgeEvent(type, facts));
    if (type === "message" && typeof facts.data === "string") isolated(() => this.#read(facts.data));
    if (type === "close") this.#jobs.lose(facts.code, this.#keepJobs || (facts.willReconnect && this.#resumeJobs));
    if (type === "open" && facts.reconnected && this.#resumeJobs && !this.#keepJobs) this.#jobs.resume();
  }

  #read(text) {
    const message = parsed(text);
    if (message === undefined) {
      if (this.#default !== null || this.#streams.size > 0) throw new SyntaxError(`a frame is not JSON: ${text}`);
    } else if (isObject(message) && this.#jobs.take(message)) return;
    else if (isObject(message) && message.stream !== undefined) this.#demultiplexed(message);
    else this.#default?.(message, null);
  }

  #demultiplexed(message) {
    if (isObject(message.payload) && this.#jobs.take(message.payload, message.stream)) return;
    const callback = this.#streams.get(message.stream);
    if (callback !== undefined) callback(message.payload, message.stream);
    else this.dispatchEvent(new BridgeEvent("dropped", { data: message, reason: "unmapped" }));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // which JSON cannot say
  }
}

function isObject(value) {
  return typeof value === "object" && value !== null;
}

export { JobError };
