/* The word count: a text or a file goes in, cells fill while parts are counted, a table comes out. */

const { maxUploadBytes, csrfToken } = document.body.dataset;
const LONGEST_IN_FRAME_BYTES = 500_000;
const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");

let chosen = null;
let round = 0;
let job = null;

export function setUp(desk) {
  const card = $("wordcount");
  $("parts").addEventListener("input", () => ($("parts-shown").value = $("parts").value));
  $("file").addEventListener("change", () => choose($("file").files[0] ?? null));
  $("unchoose").addEventListener("click", () => {
    choose(null);
    $("text").focus();
  });
  card.addEventListener("dragover", (event) => {
    event.preventDefault();
    card.classList.add("over");
  });
  card.addEventListener("dragleave", (event) => {
    if (!card.contains(event.relatedTarget)) card.classList.remove("over");
  });
  card.addEventListener("drop", (event) => {
    event.preventDefault();
    card.classList.remove("over");
    drop(event.dataTransfer);
  });
  $("wordcount-form").addEventListener("submit", (event) => {
    event.preventDefault();
    count(desk);
  });
  $("count-cancel").addEventListener("click", () => job.cancel().catch((error) => say(error.message, true)));
  desk.bridge.on("open", ({ reconnected }) => reconnected || goOn(desk));
}

/* The address of the page names its job, and the claim to it: for a reload, and for another tab. */
function remember() {
  history.replaceState(null, "", `#${new URLSearchParams({ job: job.id, claim: job.claim })}`);
}

function goOn(desk) {
  const { job: id, claim } = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  if (!id || !claim) return;
  const mine = ++round;
  begin(Number($("parts").value));
  job = desk.bridge.job(id);
  job.on("event", (data, { kind }) => mine === round && follow(kind, data));
  job.resume(claim).catch(() => mine === round && forget());
}

/* It was too long ago. */
function forget() {
  history.replaceState(null, "", location.pathname);
  $("count-progress").hidden = true;
}

function drop(transfer) {
  if (transfer.files.length > 0) choose(transfer.files[0]);
  else if (transfer.getData("text/plain")) {
    choose(null);
    $("text").value = transfer.getData("text/plain");
  }
}

function choose(file) {
  chosen = file;
  $("chosen").hidden = file === null;
  $("file-hint").hidden = file !== null;
  if (file === null) $("file").value = "";
  else $("chosen-name").textContent = `${file.name}, ${size(file.size)}`;
}

async function count(desk) {
  const parts = Number($("parts").value);
  const mine = ++round; // a later count takes the display over
  begin(parts);
  try {
    const source = await text();
    if (mine !== round) return;
    desk.ask({ do: "wordcount", parts, ...source }, (kind, data, id) => {
      if (mine !== round) return;
      if (kind === "taken") job = desk.bridge.job(id);
      else if (kind === "accepted") remember();
      follow(kind, data);
    });
  } catch (error) {
    if (mine === round) fail(error.message);
  }
}

/* What names the text in the frame: the text itself, or the id of its upload when it is long. */
async function text() {
  const pasted = $("text").value;
  if (chosen === null && pasted && new Blob([JSON.stringify(pasted)]).size <= LONGEST_IN_FRAME_BYTES) return { text: pasted };
  const body = chosen ?? new Blob([pasted], { type: "text/plain" });
  if (body.size === 0) throw new Error("There is nothing to count: write something, or choose a file.");
  if (body.size > Number(maxUploadBytes)) throw new Error(`That is ${size(body.size)}: at most ${size(maxUploadBytes)} are taken.`);
  say("sending the text …");
  return { upload: await upload(body, chosen?.name ?? "pasted") };
}

async function upload(body, name) {
  const response = await fetch(`/upload/?name=${encodeURIComponent(name)}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream", "X-CSRFToken": csrfToken },
    body,
  }).catch(() => {
    throw new Error("The text could not be sent: the site does not answer.");
  });
  const isJson = response.headers.get("Content-Type")?.startsWith("application/json");
  const answer = isJson ? await response.json() : { error: `the site answered ${response.status}` };
  if (!response.ok) throw new Error(`The text was not taken: ${answer.error}.`);
  return answer.upload;
}

function begin(parts) {
  $("count-progress").hidden = false;
  $("count-result").hidden = true;
  $("count-running").hidden = true;
  $("cells").dataset.state = "running";
  divide(parts);
  say("asking …");
}

/* A short text makes fewer parts than were asked for; the last task of the chord adds up and has no cell. */
function divide(parts) {
  $("cells").replaceChildren(...Array.from({ length: parts }, () => document.createElement("i")));
  $("cells").setAttribute("aria-valuemax", parts);
  fill(0);
  say("waiting for a worker …");
}

function follow(kind, data) {
  $("count-running").hidden = !["accepted", "started", "step", "snapshot"].includes(kind);
  if (kind === "refused") fail(data);
  else if (kind === "lost") fail("The connection was lost before the outcome came.");
  else if (kind === "error") fail(`It went wrong: ${data.message} (reference ${data.reference}).`);
  else if (kind === "cancelled") fail("It was cancelled.");
  else if (kind === "result") show(data);
  else if (kind === "accepted") divide(data.of - 1);
  else if (kind === "step") advance(data);
}

function advance({ done, of }) {
  fill(done);
  say(done < of - 1 ? `${done} of ${of - 1} parts counted` : "adding up …");
}

function show({ words, top }) {
  fill($("cells").children.length);
  say("done");
  $("count-words").textContent = number.format(words);
  $("count-rows").replaceChildren(...top.map(([word, times]) => row(word, times, top[0][1])));
  $("count-result").hidden = false;
}

function row(word, times, most) {
  const line = document.createElement("tr");
  line.innerHTML = '<th scope="row"></th><td><div class="bar"></div></td><td></td>';
  line.children[0].textContent = word;
  line.children[0].title = word;
  line.querySelector(".bar").style.width = `${(100 * times) / most}%`;
  line.children[2].textContent = number.format(times);
  return line;
}

function fill(done) {
  [...$("cells").children].forEach((cell, index) => cell.classList.toggle("done", index < done));
  $("cells").setAttribute("aria-valuenow", done);
}

function fail(reason) {
  $("cells").dataset.state = "failed";
  say(reason, true);
}

function say(status, bad = false) {
  $("count-status").textContent = status;
  $("count-status").classList.toggle("bad", bad);
}

function size(bytes) {
  return bytes < 1024 ** 2 ? `${Math.ceil(bytes / 1024)} KiB` : `${(bytes / 1024 ** 2).toFixed(1)} MiB`;
}
