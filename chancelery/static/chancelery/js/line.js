/*
 * A socket that comes back: after a cut it connects anew, each time a little later and never at the same moment as
 * others. Looks like the browser's own, and keeps what is sent while there is no connection.
 */

import { BridgeEvent, Emitter } from "./events.js";

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
export function shouldReconnect({ code }) {
  if (code >= 4400 && code <= 4499) return ONLY_NOW.includes(code);
  return !FINAL.includes(standard(code));
}

/* The options with their defaults. Throws for one that there is not. */
export function checked(options) {
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

export class Line extends Emitter {
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
