/* The page: its sockets, what they allow just now, and the parts that use them. */

import * as chat from "./chat.js";
import { Desk } from "./desk.js";
import { Line } from "./line.js";
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
    echo = new Line("/ws/echo/");
    echo.addEventListener("state", ({ detail }) => detail.state === "open" && sendPing());
    echo.addEventListener("frame", () => ($("ping-time").value = `${(performance.now() - pingedAt).toFixed(1)} ms`));
    echo.open();
  } else if (echo.state === "open") sendPing();
}

function sendPing() {
  pingedAt = performance.now();
  echo.send("ping");
}

const desk = new Desk();
desk.line.addEventListener("state", ({ detail }) => show("jobs", detail, "connected"));
wordcount.setUp(desk);
timeline.setUp(desk);
chat.setUp(desk, (detail, place) => show("chat", detail, place));
$("ping").addEventListener("click", ping);
desk.line.open();
