/*
 * Asks for jobs over the socket at /ws/jobs/ and hands each job's events to whoever asked.
 *
 * A frame goes out with a "ref" of ours; {"job", "ref"} or {"error", "ref"} comes back, and events {"job", "seq", "kind",
 * "data"} until one of them is final. Events may be there before we know whose they are: they are kept.
 */

import { Line } from "./line.js";

export const FINAL = new Set(["result", "error", "cancelled"]);
const KEPT_EARLY = 100;

export class Desk {
  #asked = new Map();
  #jobs = new Map();
  #early = [];

  constructor() {
    this.line = new Line("/ws/jobs/");
    this.line.addEventListener("frame", ({ detail }) => this.#read(JSON.parse(detail)));
    this.line.addEventListener("state", ({ detail }) => {
      if (detail.state === "waiting") this.#lose();
    });
  }

  /* listener: called with (kind, data, job): the events' kinds, and "taken", "refused", "lost" of our own. */
  ask(order, listener) {
    const ref = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.#asked.set(ref, listener);
    this.line.send(JSON.stringify({ ...order, ref }));
  }

  /* A job whose outcome goes to somebody else: no events of it come here. */
  release(job) {
    this.#jobs.delete(job);
  }

  #read(frame) {
    if ("ref" in frame) this.#answer(frame);
    else if ("kind" in frame) this.#event(frame);
  }

  #answer({ ref, job, error }) {
    const listener = this.#asked.get(ref);
    if (listener === undefined) return;
    this.#asked.delete(ref);
    if (error !== undefined) {
      listener("refused", error);
      return;
    }
    this.#jobs.set(job, { listener, seq: 0 });
    listener("taken", null, job);
    const early = this.#early.filter((frame) => frame.job === job);
    this.#early = this.#early.filter((frame) => frame.job !== job);
    early.forEach((frame) => this.#event(frame));
  }

  #event(frame) {
    const known = this.#jobs.get(frame.job);
    if (known === undefined) {
      this.#early = [...this.#early, frame].slice(-KEPT_EARLY);
      return;
    }
    if (frame.kind !== "progress" && frame.seq <= known.seq) return; // a delivery may be repeated
    known.seq = frame.seq;
    if (FINAL.has(frame.kind)) this.#jobs.delete(frame.job);
    known.listener(frame.kind, frame.data, frame.job);
  }

  #lose() {
    const waiting = [...this.#asked.values(), ...[...this.#jobs.values()].map(({ listener }) => listener)];
    this.#asked.clear();
    this.#jobs.clear();
    this.#early = [];
    waiting.forEach((listener) => listener("lost", null));
  }
}
