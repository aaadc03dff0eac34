/*
 * The jobs whose events come over one bridge: each is told once, in order, to whoever listens, also to who comes late.
 */

import { isolated } from "./events.js";

const ENDS = ["result", "error", "cancelled"];
const KINDS = ["accepted", "started", "progress", "chunk", "step", "retry", ...ENDS];
const HEARD = [...KINDS, "lost", "event"]; // "lost" is ours, "event" is every one of them
const KEPT_JOBS = 100; // of those that nobody has asked for, or that have ended
const KEPT_EVENTS = 200; // of each job, for listeners that come late

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
export class Job {
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

export class Jobs {
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
