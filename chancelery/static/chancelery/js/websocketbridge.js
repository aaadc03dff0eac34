/*
 * The bridge as a classic script: new channels.WebSocketBridge(), or new chancelery.WebSocketBridge().
 *
 * Made of bridge.js and what it imports by tests/javascript/classic.py: change those.
 */

(() => {
"use strict";

/* Events that carry their facts as the browser's own do: event.code, event.data. */

class BridgeEvent extends Event {
  constructor(type, facts) {
    super(type);
    Object.assign(this, facts);
  }
}

class Emitter extends EventTarget {
  on(type, listener) {
    this.addEventListener(type, listener);
    return this;
  }

  off(type, listener) {
    this.removeEventListener(type, listener);
    return this;
  }
}

/* A listener that throws does not keep others from hearing: its error goes where uncaught ones go. */
function isolated(listener, ...facts) {
  try {
    listener(...facts);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}

/*
 * A socket that comes back: after a cut it connects anew, each time a little later and never at the same moment as
 * others. Looks like the browser's own, and keeps what is sent while there is no connection.
 */

const OPTIONS = {
  minReconnectionDelay: 500,
  maxReconnectionDelay: 20_000,
  reconnectionDelayGrowFactor: 2,
  restartSpread: 5_000,
  connectionTimeout: 10_000,
  steadyAfter: 5_000,
  maxRetries: Infinity,
  maxEnqueuedMessages: 100,
  shouldReconnect,
  debug: false,
  WebSocket: undefined,
};
const CONNECTING = 0;
const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
const ABNORMAL = 1006;
const SERVERS = [1012, 1013]; // the server restarts, or cannot take so many: all its clients come at once
const FINAL = [1000, 1003, 1008, 1010]; // it was done, or takes nothing of the kind, now or later
const ONLY_NOW = [4408, 4425, 4429]; // as HTTP's 408, 425 and 429

/* Servers that may not send the codes of the protocol send 1012 as 4012, and so on. */
function standard(code) {
  return code > 4000 && code < 4015 ? code - 3000 : code;
}

/* Codes from 4400 to 4499 are read as HTTP's 400 to 499: what was asked for is wrong, and will be the next time. */
function shouldReconnect({ code }) {
  if (code >= 4400 && code <= 4499) return ONLY_NOW.includes(code);
  return !FINAL.includes(standard(code));
}

/* The options with their defaults. Throws for one that there is not. */
function checked(options) {
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(OPTIONS, name)) {
      throw new TypeError(`there is no option "${name}": allowed are ${Object.keys(OPTIONS).join(", ")}`);
    }
    const isNumber = typeof OPTIONS[name] === "number";
    if (isNumber && !(typeof value === "number" && value >= 0)) {
      throw new TypeError(`the option "${name}" is a number from 0 on, not ${String(value)}`);
    }
  }
  return { ...OPTIONS, ...options };
}

class Line extends Emitter {
  static CONNECTING = CONNECTING;
  static OPEN = OPEN;
  static CLOSING = CLOSING;
  static CLOSED = CLOSED;

  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  binaryType = "blob";
  #options;
  #protocols;
  #also;
  #state = CONNECTING;
  #socket = null; // none while the next attempt is waited for
  #timer = 0; // for the attempt that is waited for, or the end of the patience with one
  #queue = [];
  #attempts = 0;
  #openedAt = Infinity;
  #wasOpen = false;

  /* options: as `checked` returns them. also: called with every event's type and facts, after its listeners were. */
  constructor(url, protocols, options, also = () => {}) {
    super();
    this.url = url;
    this.#protocols = protocols;
    this.#options = options;
    this.#also = also;
    for (const type of ["open", "message", "error", "close"]) {
      this.addEventListener(type, (event) => this[`on${type}`]?.(event));
    }
    this.#connect();
    globalThis.addEventListener?.("online", this.#hurry);
  }

  get readyState() {
    return this.#state;
  }

  get protocol() {
    return this.#socket?.protocol ?? "";
  }

  get extensions() {
    return this.#socket?.extensions ?? "";
  }

  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  /* Sends, or keeps for the next connection; false when it can do neither, which a "dropped" event says, too. */
  send(data) {
    if (this.#state === OPEN && this.#socket.readyState === OPEN) {
      this.#socket.send(data);
      return true;
    }
    const hasEnded = this.#state === CLOSING || this.#state === CLOSED;
    if (hasEnded || this.#queue.length >= this.#options.maxEnqueuedMessages) {
      this.#tell("dropped", { data, reason: hasEnded ? "closed" : "full" });
      return false;
    }
    this.#queue.push(data);
    return true;
  }

  /* Closes for good: it does not come back. */
  close(code = 1000, reason = "") {
    if (this.#state === CLOSING || this.#state === CLOSED) return;
    if (this.#socket === null) {
      this.#end({ code, reason, wasClean: true });
    } else {
      this.#socket.close(code, reason);
      this.#state = CLOSING;
    }
  }

  #connect() {
    const socket = new (this.#options.WebSocket ?? WebSocket)(this.url, this.#protocols);
    this.#socket = socket;
    socket.binaryType = this.binaryType;
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => this.#tell("message", { data });
    socket.onerror = () => this.#state !== CLOSING && this.#tell("error", { message: `${this.url} failed` });
    socket.onclose = (event) => this.#lost(event);
    this.#timer = setTimeout(() => this.#abandon(), this.#options.connectionTimeout);
  }

  #opened() {
    clearTimeout(this.#timer);
    this.#state = OPEN;
    this.#openedAt = Date.now();
    const reconnected = this.#wasOpen;
    this.#wasOpen = true;
    this.#tell("open", { reconnected });
    while (this.#queue.length > 0 && this.#socket?.readyState === OPEN) this.#socket.send(this.#queue.shift());
  }

  /* An attempt that takes too long is as good as lost. */
  #abandon() {
    this.#letGo();
    this.#lost({ code: ABNORMAL, reason: "no connection within connectionTimeout", wasClean: false });
  }

  #letGo() {
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onerror = socket.onclose = null;
    socket.close();
  }

  #lost({ code, reason, wasClean }) {
    clearTimeout(this.#timer);
    if (Date.now() - this.#openedAt >= this.#options.steadyAfter) this.#attempts = 0;
    this.#openedAt = Infinity;
    this.#socket = null;
    const told = { code, reason, wasClean };
    const { shouldReconnect: worthwhile, maxRetries } = this.#options;
    if (this.#state === CLOSING || this.#attempts >= maxRetries || !worthwhile(told)) {
      this.#end(told);
      return;
    }
    this.#state = CONNECTING;
    const delay = this.#delay(standard(code));
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#tell("close", { ...told, willReconnect: true });
    // A listener may have closed it, or the browser have come online.
    if (this.#state === CONNECTING && this.#socket === null) {
      this.#tell("reconnecting", { attempt: this.#attempts, delay });
    }
  }

  #delay(code) {
    const { minReconnectionDelay, maxReconnectionDelay, reconnectionDelayGrowFactor, restartSpread } = this.#options;
    const grown = minReconnectionDelay * reconnectionDelayGrowFactor ** this.#attempts;
    const longest = Math.min(maxReconnectionDelay, grown);
    if (SERVERS.includes(code)) return Math.max(longest, restartSpread) * Math.random();
    return longest * (0.5 + Math.random() / 2);
  }

  /* The browser has a network again: whatever was tried without it has not to be waited for. */
  #hurry = () => {
    if (this.#state !== CONNECTING) return;
    clearTimeout(this.#timer);
    if (this.#socket !== null) this.#letGo();
    this.#attempts = 0;
    this.#connect();
  };

  #end(told) {
    clearTimeout(this.#timer);
    globalThis.removeEventListener?.("online", this.#hurry);
    this.#state = CLOSED;
    this.#tell("close", { ...told, willReconnect: false });
    for (const data of this.#queue.splice(0)) this.#tell("dropped", { data, reason: "closed" });
  }

  #tell(type, facts) {
    if (this.#options.debug) console.debug("WebSocketBridge", type, facts);
    this.dispatchEvent(new BridgeEvent(type, facts));
    this.#also(type, facts);
  }
}

/*
 * The jobs whose events come over one bridge: each is told once, in order, to whoever listens, also to who comes late.
 */

const ENDS = ["result", "error", "cancelled"];
const KINDS = ["accepted", "started", "progress", "chunk", "step", "retry", ...ENDS];
const HEARD = [...KINDS, "lost", "event"]; // "lost" is ours, "event" is every one of them
const KEPT_JOBS = 100; // of those that nobody has asked for, or that have ended
const KEPT_EVENTS = 200; // of each job, for listeners that come late

/* What the promise of a job is rejected with when there is no result. */
class JobError extends Error {
  name = "JobError";

  constructor(job, code, message, reference = null) {
    super(message);
    this.job = job;
    this.code = code;
    this.reference = reference;
  }
}

const WHY = {
  error: (job, data) => new JobError(job, data.code, data.message, data.reference),
  cancelled: (job, data) => new JobError(job, "cancelled", `the job was cancelled (${data.reason})`),
  lost: (job) => new JobError(job, "lost", "the connection was closed before the outcome came"),
};

/* A promise that is made when it is asked for: one that nobody has asked for cannot be rejected unhandled. */
class Deferred {
  #promise = null;
  #settle = null;
  #outcome = null;

  get promise() {
    this.#promise ??= new Promise((...settle) => {
      this.#settle = settle;
      this.#try();
    });
    return this.#promise;
  }

  end(isGood, value) {
    this.#outcome = [isGood, value];
    this.#try();
  }

  #try() {
    if (this.#settle === null || this.#outcome === null) return;
    const [isGood, value] = this.#outcome;
    this.#settle[isGood ? 0 : 1](value);
  }
}

/* What came of one job, and who wants to hear of it. */
class Record {
  claimed = false;
  state = null;
  outcome = new Deferred();
  #seq = 0;
  #kept = [];
  #numbered = 0;
  #listeners = [];
  #isDue = false;

  constructor(id, cancel) {
    this.id = id;
    this.job = new Job(this, cancel);
  }

  get hasEnded() {
    return ENDS.includes(this.state);
  }

  get isDone() {
    return this.hasEnded || this.state === "lost";
  }

  get frames() {
    return this.#kept.map(({ frame }) => frame);
  }

  /* Progress has the number of the event before it. What was heard already is not heard again. */
  take(frame) {
    const isProgress = frame.kind === "progress";
    if (this.hasEnded || (isProgress ? frame.seq < this.#seq : frame.seq <= this.#seq)) return;
    this.#seq = frame.seq;
    if (isProgress) this.#forgetProgressOf(frame.data.task);
    else if (frame.kind === "accepted" || ENDS.includes(frame.kind)) this.state = frame.kind;
    else this.state = "started";
    this.#keep(frame);
    if (frame.kind === "result") this.outcome.end(true, frame.data);
    else if (this.hasEnded) this.outcome.end(false, WHY[frame.kind](this.id, frame.data));
  }

  lose(code) {
    if (this.isDone) return;
    this.state = "lost";
    this.#keep({ job: this.id, seq: this.#seq, kind: "lost", data: { code } });
    this.outcome.end(false, WHY.lost(this.id));
  }

  listen(kind, listener) {
    if (!HEARD.includes(kind)) throw new TypeError(`a job has no events "${kind}": it has ${HEARD.join(", ")}`);
    this.#listeners.push({ kind, listener, next: 0 });
    this.#schedule();
  }

  unlisten(kind, listener) {
    this.#listeners = this.#listeners.filter((one) => one.kind !== kind || one.listener !== listener);
  }

  /* Of progress that is over, a late listener needs the latest only. */
  #forgetProgressOf(task) {
    this.#kept = this.#kept.filter(({ frame }) => frame.kind !== "progress" || frame.data.task !== task);
  }

  #keep(frame) {
    this.#kept.push({ frame, number: this.#numbered++ });
    if (this.#kept.length > KEPT_EVENTS) this.#kept.shift();
    this.#schedule();
  }

  /* Later, so that listeners which are added one after the other hear everything in the order of the job. */
  #schedule() {
    if (this.#isDue) return;
    this.#isDue = true;
    queueMicrotask(() => this.#deliver());
  }

  #deliver() {
    this.#isDue = false;
    for (const { frame, number } of [...this.#kept]) {
      for (const one of [...this.#listeners]) {
        if (one.next > number) continue;
        one.next = number + 1;
        if (one.kind === frame.kind || one.kind === "event") isolated(one.listener, frame.data, frame);
      }
    }
  }
}

/* A job as the page sees it. */
class Job {
  #record;
  #cancel;

  constructor(record, cancel) {
    this.#record = record;
    this.#cancel = cancel;
  }

  get id() {
    return this.#record.id;
  }

  /* null while nothing has come, then "accepted", "started", in the end "result", "error", "cancelled" or "lost". */
  get state() {
    return this.#record.state;
  }

  get result() {
    return this.#record.outcome.promise;
  }

  on(kind, listener) {
    this.#record.listen(kind, listener);
    return this;
  }

  off(kind, listener) {
    this.#record.unlisten(kind, listener);
    return this;
  }

  /* Has the server end it: true if that ended it, false if it had ended. Rejected if it is none of this socket's. */
  cancel() {
    return this.#record.hasEnded ? Promise.resolve(false) : this.#cancel();
  }
}

class Jobs {
  #records = new Map();
  #cancels = new Map();
  #send;
  #tell;

  /* send: takes a frame, false if it cannot be sent now. tell: takes the type and the facts of an event of the bridge. */
  constructor(send, tell) {
    this.#send = send;
    this.#tell = tell;
  }

  job(id) {
    const record = this.#records.get(id) ?? this.#begin(id);
    record.claimed = true;
    return record.job;
  }

  /* Takes a frame if it is about a job; tells whether it was. */
  take(frame) {
    if (typeof frame.job !== "string") return false;
    if (frame.action === "cancel" && ("done" in frame || "error" in frame)) this.#answer(frame);
    else if (typeof frame.kind === "string" && Number.isInteger(frame.seq) && "data" in frame) this.#event(frame);
    else return false;
    return true;
  }

  /* The connection is gone, and with it the address of jobs that have no other. */
  lose(code, keepJobs) {
    for (const [id, answer] of this.#cancels) answer.end(false, WHY.lost(id));
    this.#cancels.clear();
    if (keepJobs) return;
    for (const record of this.#records.values()) record.lose(code);
    this.#tidy();
  }

  #begin(id) {
    const record = new Record(id, () => this.#cancel(id));
    this.#records.set(id, record);
    return record;
  }

  #event(frame) {
    const known = this.#records.get(frame.job);
    const record = known ?? this.#begin(frame.job);
    record.take(frame);
    if (record.isDone) this.#last(record);
    if (known === undefined) this.#tell("job", { id: frame.job });
    this.#tidy();
  }

  /* What is forgotten first is what has been idle for longest. */
  #last(record) {
    this.#records.delete(record.id);
    this.#records.set(record.id, record);
  }

  #cancel(id) {
    const known = this.#cancels.get(id);
    if (known !== undefined) return known.promise;
    if (!this.#send({ job: id, action: "cancel" })) return Promise.reject(WHY.lost(id));
    const answer = new Deferred();
    this.#cancels.set(id, answer);
    return answer.promise;
  }

  #answer({ job, done, error }) {
    const answer = this.#cancels.get(job);
    this.#cancels.delete(job);
    const why = "it is none that this socket has asked for, or its record is gone";
    if (error === undefined) answer?.end(true, done);
    else answer?.end(false, new JobError(job, error, `the job cannot be cancelled: ${why}`));
  }

  /* Memory is bounded: the oldest of what nobody waits for is forgotten, and told of if nobody has heard of it. */
  #tidy() {
    const idle = [...this.#records.values()].filter((record) => !record.claimed || record.isDone);
    for (const record of idle.slice(0, Math.max(idle.length - KEPT_JOBS, 0))) {
      this.#records.delete(record.id);
      if (!record.claimed) this.#tell("dropped", { data: record.frames, reason: "unclaimed" });
    }
  }
}

/*
 * The page's end of a socket: JSON both ways, streams of a demultiplexer, jobs, and a connection that comes back.
 *
 *     const bridge = new WebSocketBridge();
 *     bridge.connect("/chat/");
 *     bridge.listen((message) => console.log(message));
 */

/* The address of a socket: on this page's host, and ws: or wss: as the page is http: or https:. */
function address(url) {
  const found = new URL(url ?? "/", globalThis.location?.href);
  found.protocol = found.protocol.replace(/^http/, "ws");
  found.hash = "";
  return found.href;
}

class WebSocketBridge extends Emitter {
  static shouldReconnect = shouldReconnect;

  #options;
  #line = null;
  #keepJobs = false;
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
    const { keepJobs = false, ...others } = { ...this.#options, ...options };
    const settings = checked(others);
    const to = address(url);
    this.#leave();
    this.#keepJobs = keepJobs;
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
    return { send: (payload) => this.send({ stream, payload }) };
  }

  /* The job of this id, whether its events have come already or not. */
  job(id) {
    return this.#jobs.job(id);
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
    if (type === "close") this.#jobs.lose(facts.code, this.#keepJobs);
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

const names = { WebSocketBridge, JobError };
globalThis.chancelery = { ...globalThis.chancelery, ...names };
globalThis.channels = { ...globalThis.channels, ...names };
})();
