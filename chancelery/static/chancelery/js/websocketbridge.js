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
 * The claims to jobs that the server has given to this page. Where the browser allows it they outlive a reload of the
 * page, in this tab only.
 */

const KEY = "chancelery.claims";
const KEPT_CLAIMS = 100;

class Claims {
  #known = new Map(Object.entries(stored()));

  get(id) {
    return this.#known.get(id);
  }

  set(id, claim) {
    if (this.#known.get(id) === claim) return;
    this.#known.set(id, claim);
    if (this.#known.size > KEPT_CLAIMS) this.#known.delete(this.#known.keys().next().value);
    store(this.#known);
  }

  delete(id) {
    if (this.#known.delete(id)) store(this.#known);
  }
}

/* A browser that keeps nothing for this page says so by throwing. */
function stored() {
  try {
    const found = JSON.parse(globalThis.sessionStorage?.getItem(KEY) ?? "{}");
    return typeof found === "object" && found !== null ? found : {};
  } catch {
    return {};
  }
}

function store(known) {
  try {
    globalThis.sessionStorage?.setItem(KEY, JSON.stringify(Object.fromEntries(known)));
  } catch {
    // then they end with the page
  }
}

/*
 * The jobs whose events come over one bridge: each is told once, in order, to whoever listens, also to who comes late,
 * and over however many connections.
 */

const ENDS = ["result", "error", "cancelled"];
const KINDS = ["accepted", "started", "progress", "chunk", "step", "retry", "rescheduled", "snapshot", ...ENDS];
const HEARD = [...KINDS, "lost", "event"]; // "lost" is ours, "event" is every one of them
const KEPT_JOBS = 100; // of those that nobody has asked for, or that have ended
const KEPT_EVENTS = 200; // of each job, for listeners that come late
const RESUME_PATIENCE = 10_000; // for an answer, on a connection that is there
const BUSY_PAUSE = 1_000;

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
const REFUSED = {
  unknown_job: "it is none that this socket has asked for or has a claim to, or its record is gone",
  too_large: "it is larger than the server takes",
  full: "the job has been given as much as it takes",
  ended: "the job has ended",
  busy: "the server has no room for it just now",
};

/* A result that no frame can carry. */
async function fetched({ job, at }) {
  const answer = await fetch(at).catch(() => null);
  if (answer?.ok) return answer.json();
  throw new JobError(job, "not_fetched", `the result could not be fetched (${answer?.status ?? "no answer"})`);
}

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
    this.#settle[isGood ? 0 : 1](typeof value === "function" ? value() : value);
  }
}

/* What came of one job, and who wants to hear of it. */
class Record {
  claimed = false;
  state = null;
  stream = null; // of a demultiplexer, that its events come on and what is asked of it goes to
  held = []; // what came after a gap, until the gap is filled
  outcome = new Deferred();
  #seq = 0;
  #kept = [];
  #numbered = 0;
  #listeners = [];
  #isDue = false;

  constructor(id, ask, claims) {
    this.id = id;
    this.claims = claims;
    this.job = new Job(this, ask);
  }

  get seq() {
    return this.#seq;
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

  /* Whether something is missing between what was heard and this: the server had no room for it. */
  lacksBefore(frame) {
    return this.#seq > 0 && frame.kind !== "snapshot" && frame.seq > this.#seq + (frame.kind === "progress" ? 0 : 1);
  }

  /* Progress has the number of the event before it. What was heard already is not heard again. */
  take(frame) {
    const isProgress = frame.kind === "progress";
    const isSnapshot = frame.kind === "snapshot"; // it says where to go on, even if that is further back
    const isNews = isSnapshot || (isProgress ? frame.seq >= this.#seq : frame.seq > this.#seq);
    if (this.hasEnded || !isNews) return;
    this.#seq = frame.seq;
    if (typeof frame.claim === "string") this.claims.set(this.id, frame.claim);
    if (isProgress) this.#forgetProgressOf(frame.data.task);
    else if (frame.kind === "accepted" || ENDS.includes(frame.kind)) this.state = frame.kind;
    else this.state = "started";
    this.#keep(frame);
    if (this.hasEnded) this.claims.delete(this.id);
    if (frame.kind === "result") this.outcome.end(true, frame.at === undefined ? frame.data : () => fetched(frame));
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
  #ask;

  constructor(record, ask) {
    this.#record = record;
    this.#ask = ask;
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

  /* By which another page may have the job, too; null if the server has given none, as to who is logged in. */
  get claim() {
    return this.#record.claims.get(this.id) ?? null;
  }

  /* Has the server end it: true if that ended it, false if it had ended. Rejected if it is none of this socket's. */
  cancel() {
    return this.#record.hasEnded ? Promise.resolve(false) : this.#ask("cancel");
  }

  /* Has the server tell what was not heard, and go on telling. Rejected if it is none of this socket's. */
  resume(claim) {
    if (claim !== undefined) this.#record.claims.set(this.id, claim);
    return this.#record.hasEnded ? Promise.resolve(true) : this.#ask("resume", { after: this.#record.seq });
  }

  /* Gives the job something that one of its tasks waits for, or will. */
  input(value) {
    return this.#ask("input", { value });
  }
}

class Jobs {
  mends = false; // whether what is missing is asked for
  #records = new Map();
  #asked = new Map(); // what was asked of a job, as "cancel <id>" -> those who wait for an answer
  #claims = new Claims();
  #send;
  #tell;

  /* send: takes a frame, false if it cannot be sent now. tell: takes the type and the facts of an event of the bridge. */
  constructor(send, tell) {
    this.#send = send;
    this.#tell = tell;
  }

  job(id, stream = null) {
    const record = this.#records.get(id) ?? this.#begin(id);
    record.claimed = true;
    record.stream ??= stream;
    return record.job;
  }

  /* Takes a frame, or what came on a stream, if it is about a job; tells whether it was. */
  take(frame, stream = null) {
    if (frame.job === null && frame.do === "list" && Array.isArray(frame.jobs)) return this.#answer(frame);
    if (typeof frame.job !== "string") return false;
    if (typeof frame.do === "string" && ("done" in frame || "error" in frame)) this.#answer(frame);
    else if (typeof frame.kind === "string" && Number.isInteger(frame.seq) && "data" in frame) this.#event(frame, stream);
    else return false;
    return true;
  }

  /* The jobs of this socket, as the server has them. */
  list(stream = null) {
    return this.#ask(null, "list", stream);
  }

  /* The connection is gone, and every answer with it; and, unless there will be another, jobs that have no other address. */
  lose(code, keepJobs) {
    const waiting = [...this.#asked.values()].flat();
    this.#asked.clear();
    for (const { id, answer } of waiting) answer.end(false, WHY.lost(id));
    if (keepJobs) return;
    for (const record of this.#records.values()) record.lose(code);
    this.#tidy();
  }

  /* There is another connection: what was said between the two is asked for. */
  resume() {
    for (const record of this.#records.values()) if (!record.isDone) this.#resume(record);
  }

  async #resume(record) {
    try {
      await this.#resumed(record);
    } catch ({ code }) {
      if (code === "busy") setTimeout(() => record.isDone || this.#resume(record), BUSY_PAUSE);
      else if (code !== "lost") this.#giveUp(record); // with another connection it is asked for again
    }
  }

  /* If nobody answers on a connection that is there, the consumer does not obey. */
  async #resumed(record) {
    let timer = null;
    const late = new Promise((_, give) => {
      timer = setTimeout(() => give(new JobError(record.id, "unanswered", "nobody answered")), RESUME_PATIENCE);
    });
    await Promise.race([record.job.resume(), late]).finally(() => clearTimeout(timer));
  }

  /* Asks for what is missing before this frame; if it is not to be had, what there is has to do. */
  async #mend(record, frame) {
    record.held.push(frame);
    if (record.held.length > 1) return;
    await this.#resumed(record).catch(() => null);
    for (const one of record.held.splice(0)) this.#take(record, one);
  }

  #giveUp(record) {
    this.#claims.delete(record.id);
    record.lose(null);
    this.#tidy();
  }

  #begin(id) {
    const record = new Record(id, (what, more) => this.#ask(id, what, record.stream, more), this.#claims);
    this.#records.set(id, record);
    return record;
  }

  #event(frame, stream) {
    const known = this.#records.get(frame.job);
    const record = known ?? this.#begin(frame.job);
    record.stream = stream ?? record.stream; // a group that it is in as well has none
    if (this.mends && record.lacksBefore(frame)) this.#mend(record, frame);
    else this.#take(record, frame);
    if (known === undefined) this.#tell("job", { id: frame.job });
  }

  #take(record, frame) {
    record.take(frame);
    if (record.isDone) this.#last(record);
    this.#tidy();
  }

  /* What is forgotten first is what has been idle for longest. */
  #last(record) {
    this.#records.delete(record.id);
    this.#records.set(record.id, record);
  }

  /* Asks, unless the same was asked and is not answered yet; but what is given is given each time. */
  #ask(id, what, stream, more = {}) {
    const key = `${what} ${id}`;
    const waiting = this.#asked.get(key) ?? [];
    if (waiting.length > 0 && what !== "input") return waiting[0].answer.promise;
    const claim = this.#claims.get(id);
    const shown = claim === undefined ? {} : { claim };
    const order = { job: id, do: what, ...more, ...shown };
    if (!this.#send(stream === null ? order : { stream, payload: order })) return Promise.reject(WHY.lost(id));
    const answer = new Deferred();
    this.#asked.set(key, [...waiting, { id, answer }]);
    return answer.promise;
  }

  #answer({ job, do: what, done, error, jobs }) {
    const key = `${what} ${job}`;
    const [first, ...others] = this.#asked.get(key) ?? [];
    if (others.length > 0) this.#asked.set(key, others);
    else this.#asked.delete(key);
    if (error === undefined) first?.answer.end(true, jobs ?? done);
    else first?.answer.end(false, new JobError(job, error, `refused (${what}): ${REFUSED[error] ?? error}`));
    return true;
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

const names = { WebSocketBridge, JobError };
globalThis.chancelery = { ...globalThis.chancelery, ...names };
globalThis.channels = { ...globalThis.channels, ...names };
})();
