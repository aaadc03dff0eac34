/* Where the sockets are, and how a connection is doing, in the words of the page. */

export function socketUrl(path) {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${location.hostname}:${document.body.dataset.socketsPort}${path}`;
}

/* show: called with {state: open | waiting | closed, seconds} whenever it changes. */
export function watch(bridge, show) {
  bridge.on("open", () => show({ state: "open" }));
  bridge.on("reconnecting", ({ delay }) => show({ state: "waiting", seconds: delay / 1000 }));
  bridge.on("close", ({ willReconnect }) => willReconnect || show({ state: "closed" }));
}
