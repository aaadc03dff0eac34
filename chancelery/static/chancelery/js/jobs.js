/*
 * The jobs whose events come over one bridge: each is told once, in order, to whoever listens, also to who comes late,
 * and over however many connections.
 */

import { Claims } from "./claims.js";
import { isolated } from "./events.js";

const ENDS = ["result", "error", "cancelled"];
const KINDS = ["accepted", "started", "progress", "chunk", "step", "retry", "rescheduled", "snapshot", ...ENDS];
const HEARD = [...KINDS, "lost", "event"]; // "lost" is ours, "event" is every one of them
const KEPT_JOBS = 100; // of those that nobody has asked for, or that have ended
const KEPT_EVENTS = 200; // of each job, for listeners that come late
const RESUME_PATIENCE = 10_000; // for an answer, on a connection that is there
const BUSY_PAUSE = 1_000;

/* What the promise of a job is rejected with when there is no result. */
export class JobError extends Error {
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
export class Job {
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

export class Jobs {
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
