/* A room: text frames "name: what was said" go to everybody in it. A task's announcement arrives like any other frame. */

import { WebSocketBridge } from "../chancelery/js/bridge.js";
import { socketUrl, watch } from "./line.js";

const $ = (id) => document.getElementById(id);
const KEPT_LINES = 500;
const ANNOUNCEMENT = "Announcement: ";
const NAMES = ["Ada", "Blaise", "Clara", "Dorothea", "Emil", "Fanny", "Gaspard", "Hedwig"];

const bridge = new WebSocketBridge();
let room = "";
let isNew = true;

/* showState: called with the state of the connection whenever it changes, and where it leads. */
export function setUp(desk, showState) {
  $("name").value = NAMES[Math.floor(Math.random() * NAMES.length)];
  $("room-form").addEventListener("submit", (event) => {
    event.preventDefault();
    enter($("room").value, showState);
  });
  $("say-form").addEventListener("submit", (event) => {
    event.preventDefault();
    bridge.socket.send(`${$("name").value}: ${$("say").value}`);
    $("say").value = "";
  });
  $("announce-form").addEventListener("submit", (event) => {
    event.preventDefault();
    desk.ask({ do: "announce", room, text: $("announcement").value }, follow);
  });
  bridge.on("message", ({ data }) => show(data));
  bridge.on("open", () => {
    if (isNew) $("say").focus();
    isNew = false;
  });
  watch(bridge, (detail) => showState(detail, `in ${room}`));
}

function enter(name, showState) {
  room = name;
  isNew = true;
  showState({ state: "connecting" });
  $("log").replaceChildren();
  bridge.connect(socketUrl(`/ws/chat/${encodeURIComponent(name)}/`));
}

function show(frame) {
  const item = document.createElement("p");
  const [, who, said] = /^([^:]{1,30}): ([^]*)$/.exec(frame) ?? [];
  if (frame.startsWith(ANNOUNCEMENT)) {
    item.className = "announcement";
    item.textContent = frame;
  } else if (who === undefined) {
    item.className = "aside";
    item.textContent = frame;
  } else {
    item.classList.toggle("mine", who === $("name").value);
    item.append(Object.assign(document.createElement("b"), { textContent: who }), ` ${said}`);
  }
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  if (log.children.length > KEPT_LINES) log.firstElementChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
}

function follow(kind, data, job) {
  const status = $("announce-status");
  status.classList.toggle("bad", kind !== "taken");
  if (kind === "refused") status.textContent = data;
  else if (kind === "lost") status.textContent = "the connection was lost";
  else status.textContent = `a task will tell the room (job ${job.slice(0, 8)})`;
  return false;
}
