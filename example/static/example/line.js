/* A socket that comes back: after a cut it connects anew, each time a little later and never at the same moment as others. */

const FIRST_WAIT_SECONDS = 0.5;
const LONGEST_WAIT_SECONDS = 20;
const STEADY_SECONDS = 5;

export function socketUrl(path) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${location.hostname}:${document.body.dataset.socketsPort}${path}`;
}

/* Events: "state" (detail: {state: connecting | open | waiting | closed, seconds}), "frame" (detail: the text). */
export class Line extends EventTarget {
  #path;
  #socket = null;
  #attempts = 0;
  #timer = 0;

  constructor(path) {
    super();
    this.#path = path;
    this.state = "closed";
    addEventListener("online", this.#hurry);
  }

  open() {
    this.#say("connecting");
    const socket = new WebSocket(socketUrl(this.#path));
    this.#socket = socket;
    let openedAt = Infinity;
    socket.onopen = () => {
      openedAt = performance.now();
      this.#say("open");
    };
    socket.onmessage = ({ data }) => this.dispatchEvent(new CustomEvent("frame", { detail: data }));
    socket.onclose = () => {
      if (performance.now() - openedAt > STEADY_SECONDS * 1000) this.#attempts = 0;
      this.#wait();
    };
    return this;
  }

  send(text) {
    this.#socket.send(text);
  }

  close() {
    removeEventListener("online", this.#hurry);
    clearTimeout(this.#timer);
    if (this.#socket !== null) {
      this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
      this.#socket.close();
    }
    this.#say("closed");
  }

  #wait() {
    const longest = Math.min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** this.#attempts);
    const seconds = longest * (0.5 + Math.random() / 2);
    this.#attempts += 1;
    this.#timer = setTimeout(() => this.open(), seconds * 1000);
    this.#say("waiting", seconds);
  }

  #hurry = () => {
    if (this.state !== "waiting") return;
    clearTimeout(this.#timer);
    this.open();
  };

  #say(state, seconds = 0) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: { state, seconds } }));
  }
}
