/* Ranges bound to rows of the database: what is moved here goes out, what is moved elsewhere comes in. */

import { WebSocketBridge } from "../chancelery/js/bridge.js";
import { socketUrl } from "./line.js";

const state = document.getElementById("sliders-state");
const status = document.getElementById("sliders-status");
const ranges = new Map([...document.querySelectorAll("[data-pk]")].map((range) => [range.dataset.pk, range]));
const held = new Set();

const bridge = new WebSocketBridge();
bridge.connect(socketUrl("/ws/sliders/"));
bridge.demultiplex("slider", ({ action, pk, data, errors }) => {
  if (errors !== undefined) {
    status.textContent = `Not moved: ${Object.values(errors).flat().join(" ")}`;
    return;
  }
  const range = ranges.get(String(pk));
  if (action === "update" && range !== undefined && !held.has(range)) show(range, data.value);
});

for (const [name, text] of [["open", "connected"], ["close", "waiting …"]]) {
  bridge.addEventListener(name, () => {
    state.dataset.state = name === "open" ? "open" : "waiting";
    state.textContent = text;
  });
}

for (const range of ranges.values()) {
  range.addEventListener("pointerdown", () => held.add(range));
  range.addEventListener("input", () => {
    show(range, range.value);
    status.textContent = "";
    bridge.stream("slider").send({ action: "update", pk: Number(range.dataset.pk), data: { value: Number(range.value) } });
  });
}
/* A range that is held does not jump under the hand; let go, it follows the others again. */
for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => held.clear());

function show(range, value) {
  range.value = value;
  range.nextElementSibling.value = value;
}
