/*
 * Asks for jobs over the socket at /ws/jobs/ and hands each job's events to whoever asked.
 *
 * A frame goes out with a "ref" of ours; {"job", "ref"} or {"error", "ref"} comes back. The bridge knows the rest.
 */

import { WebSocketBridge } from "../chancelery/js/bridge.js";
import { socketUrl } from "./line.js";

export class Desk {
  bridge = new WebSocketBridge();
  #asked = new Map();

  constructor() {
    this.bridge.listen((answer) => this.#answer(answer));
    this.bridge.on("close", () => this.#lose());
    this.bridge.connect(socketUrl("/ws/jobs/"));
  }

  /*
   * listener: called with (kind, data, job): the bridge's kinds, and "taken" and "refused" of our own. It returns false
   * if the job's outcome goes to somebody else: no events of it come here then.
   */
  ask(order, listener) {
    const ref = crypto.getRandomValues(new Uint32Array(2)).join("-");
    this.#asked.set(ref, listener);
    this.bridge.send({ ...order, ref });
  }

  #answer({ ref, job, error }) {
    const listener = this.#asked.get(ref);
    if (listener === undefined) return;
    this.#asked.delete(ref);
    if (error !== undefined) listener("refused", error);
    else if (listener("taken", null, job) !== false) {
      this.bridge.job(job).on("event", (data, { kind }) => listener(kind, data, job));
    }
  }

  #lose() {
    const waiting = [...this.#asked.values()];
    this.#asked.clear();
    waiting.forEach((listener) => listener("lost", null));
  }
}
