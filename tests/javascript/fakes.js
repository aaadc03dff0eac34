/* Sockets without a server, a clock without waiting, and dice that fall as they are told. */

import { mock } from "node:test";
import { WebSocketBridge } from "../../chancelery/static/chancelery/js/bridge.js";

export class FakeSocket {
  static made = [];

  static get last() {
    return FakeSocket.made.at(-1);
  }

  readyState = 0;
  protocol = "";
  extensions = "";
  bufferedAmount = 0;
  sent = [];
  closed = null;

  constructor(url, protocols) {
    Object.assign(this, { url, protocols });
    FakeSocket.made.push(this);
  }

  opens() {
    this.readyState = 1;
    this.onopen?.({});
    return this;
  }

  says(message) {
    this.onmessage?.({ data: typeof message === "string" ? message : JSON.stringify(message) });
    return this;
  }

  goes(code, reason = "") {
    this.readyState = 3;
    if (code === 1006) this.onerror?.({});
    this.onclose?.({ code, reason, wasClean: code !== 1006 });
    return this;
  }

  send(data) {
    if (this.readyState === 0) throw new Error("InvalidStateError");
    this.sent.push(data);
  }

  close(code, reason) {
    this.closed = { code, reason };
    this.readyState = 2;
  }
}

/* Before each test: nothing was made, no time has passed, and random numbers are *random*. */
export function fresh(random = 1) {
  FakeSocket.made = [];
  mock.reset();
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  mock.method(Math, "random", () => random);
}

export function passes(milliseconds) {
  mock.timers.tick(milliseconds);
}

/* A bridge on fake sockets that is about to connect; `heard` has the events of these types. */
export function connecting(options = {}, types = ["open", "close", "reconnecting", "dropped", "error", "job"]) {
  const bridge = new WebSocketBridge({ WebSocket: FakeSocket });
  const heard = [];
  for (const type of types) bridge.on(type, (event) => heard.push([type, event]));
  bridge.connect("ws://desk.example/news/", undefined, options);
  return { bridge, heard };
}

/* A bridge whose socket is open. */
export function connected(options, types) {
  const { bridge, heard } = connecting(options, types);
  return { bridge, heard, socket: FakeSocket.last.opens() };
}

/* Whatever was put off to the end of this step has happened. */
export async function settled() {
  for (let round = 0; round < 5; round += 1) await Promise.resolve();
}

/* What is thrown where nobody catches it. */
export async function uncaught(act) {
  const found = [];
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => found.push(error));
  try {
    act();
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.removeAllListeners("uncaughtException");
    for (const other of others) process.on("uncaughtException", other);
  }
  return found;
}
