/* The page: its sockets, what they allow just now, and the parts that use them. */

import { WebSocketBridge } from "../chancelery/js/bridge.js";
import * as chat from "./chat.js";
import { Desk } from "./desk.js";
import { socketUrl, watch } from "./line.js";
import * as timeline from "./timeline.js";
import * as wordcount from "./wordcount.js";

const $ = (id) => document.getElementById(id);
const open = { jobs: false, chat: false };

/* Forms can be used while every socket that they need is open. */
function show(name, { state, seconds }, place) {
  open[name] = state === "open";
  const words = {
    connecting: "connecting …",
    open: place,
    waiting: `cut off, trying again in ${Math.ceil(seconds)} s`,
    closed: "closed",
  };
  $(`${name}-state`).dataset.state = state;
  $(`${name}-state`).textContent = words[state];
  for (const fieldset of document.querySelectorAll("fieldset[data-needs]")) {
    fieldset.disabled = !fieldset.dataset.needs.split(" ").every((needed) => open[needed]);
  }
}

let echo = null;
let pingedAt = 0;

function ping() {
  if (echo === null) {
    echo = new WebSocketBridge();
    echo.on("open", sendPing);
    echo.on("message", () => ($("ping-time").value = `${(performance.now() - pingedAt).toFixed(1)} ms`));
    echo.connect(socketUrl("/ws/echo/"));
  } else if (echo.socket.readyState === WebSocket.OPEN) sendPing();
}

function sendPing() {
  pingedAt = performance.now();
  echo.socket.send("ping");
}

const desk = new Desk();
show("jobs", { state: "connecting" });
watch(desk.bridge, (detail) => show("jobs", detail, "connected"));
wordcount.setUp(desk);
timeline.setUp(desk);
chat.setUp(desk, (detail, place) => show("chat", detail, place));
$("ping").addEventListener("click", ping);
