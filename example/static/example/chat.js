/* A room: text frames "name: what was said" go to everybody in it. A task's announcement arrives like any other frame. */

import { Line } from "./line.js";

const $ = (id) => document.getElementById(id);
const KEPT_LINES = 500;
const ANNOUNCEMENT = "Announcement: ";
const NAMES = ["Ada", "Blaise", "Clara", "Dorothea", "Emil", "Fanny", "Gaspard", "Hedwig"];

let line = null;
let room = "";

/* showState: called with the line's state whenever it changes. */
export function setUp(desk, showState) {
  $("name").value = NAMES[Math.floor(Math.random() * NAMES.length)];
  $("room-form").addEventListener("submit", (event) => {
    event.preventDefault();
    enter($("room").value, showState);
  });
  $("say-form").addEventListener("submit", (event) => {
    event.preventDefault();
    line.send(`${$("name").value}: ${$("say").value}`);
    $("say").value = "";
  });
  $("announce-form").addEventListener("submit", (event) => {
    event.preventDefault();
    desk.ask({ do: "announce", room, text: $("announcement").value }, (kind, data, job) => follow(desk, kind, data, job));
  });
}

function enter(name, showState) {
  line?.close();
  room = name;
  $("log").replaceChildren();
  line = new Line(`/ws/chat/${encodeURIComponent(name)}/`);
  line.addEventListener("frame", ({ detail }) => show(detail));
  let isNew = true;
  line.addEventListener("state", ({ detail }) => {
    showState(detail, `in ${name}`);
    if (isNew && detail.state === "open") {
      isNew = false;
      $("say").focus();
    }
  });
  line.open();
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

function follow(desk, kind, data, job) {
  const status = $("announce-status");
  status.classList.toggle("bad", kind === "refused" || kind === "lost");
  if (kind === "refused") status.textContent = data;
  else if (kind === "lost") status.textContent = "the connection was lost";
  else if (kind === "taken") {
    status.textContent = `a task will tell the room (job ${job.slice(0, 8)})`;
    desk.release(job);
  }
}
