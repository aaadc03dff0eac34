/* The same as a classic script, in a page of its own: nothing but globals. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";
import { FakeSocket } from "./fakes.js";

const SCRIPT = "../../chancelery/static/chancelery/js/websocketbridge.js";
const source = readFileSync(new URL(SCRIPT, import.meta.url), "utf8");

const location = new URL("https://desk.example/a/");
const LENT = { EventTarget, Event, URL, setTimeout, clearTimeout, queueMicrotask, location };

function page(globals = {}) {
  const window = { ...LENT, ...globals };
  vm.runInNewContext(source, window);
  return window;
}

test("it is channels.WebSocketBridge, as in Channels 1, and chancelery.WebSocketBridge", () => {
  const { channels, chancelery } = page();
  assert.equal(channels.WebSocketBridge, chancelery.WebSocketBridge);
  assert.equal(typeof chancelery.JobError, "function");
});

test("it makes no other globals, and leaves in place what else is in these", () => {
  const window = page({ channels: { mine: 1 } });
  assert.equal(window.channels.mine, 1);
  assert.deepEqual(Object.keys(window).filter((name) => !(name in LENT)).sort(), ["chancelery", "channels"]);
});

test("it works", () => {
  const { channels } = page({ WebSocket: FakeSocket });
  const bridge = new channels.WebSocketBridge();
  const heard = [];
  bridge.connect("/chat/");
  bridge.listen((message) => heard.push(message));
  FakeSocket.last.opens().says('"hello"');
  bridge.send({ a: 1 });
  assert.equal(FakeSocket.last.url, "wss://desk.example/chat/");
  assert.deepEqual([FakeSocket.last.sent, heard], [['{"a":1}'], ["hello"]]);
  bridge.close();
  FakeSocket.last.goes(1000);
});
