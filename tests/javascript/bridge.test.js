/* What Channels 1's bridge can do: connect, listen, demultiplex, send, stream, socket. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { WebSocketBridge } from "../../chancelery/static/chancelery/js/bridge.js";
import { connected, connecting, FakeSocket, fresh, passes, uncaught } from "./fakes.js";

beforeEach(() => fresh());
afterEach(() => delete globalThis.location);

function opened(page, url, ...others) {
  globalThis.location = new URL(page);
  const bridge = new WebSocketBridge({ WebSocket: FakeSocket });
  bridge.connect(url, ...others);
  return FakeSocket.last;
}

for (const [page, url, expected] of [
  ["http://desk.example/news/", undefined, "ws://desk.example/"],
  ["https://desk.example/news/", undefined, "wss://desk.example/"],
  ["https://desk.example:8443/news/?page=2#top", "/chat/", "wss://desk.example:8443/chat/"],
  ["http://desk.example/news/", "/chat/?room=1", "ws://desk.example/chat/?room=1"],
  ["http://desk.example/news/today/", "ticker/", "ws://desk.example/news/today/ticker/"],
  ["http://desk.example/news/", "ws://other.example:9000/", "ws://other.example:9000/"],
  ["https://desk.example/news/", new URL("https://other.example/a#b"), "wss://other.example/a"],
]) {
  test(`on ${page} connecting to ${url} opens ${expected}`, () => {
    assert.equal(opened(page, url).url, expected);
  });
}

test("connect passes the protocols on, and options that may also be given to the bridge", () => {
  assert.deepEqual(opened("http://desk.example/", "/", ["a", "b"], { maxRetries: 1 }).protocols, ["a", "b"]);
});

test("connecting again leaves the former socket for good", () => {
  const { bridge, heard, socket } = connected();
  const former = bridge.socket;
  bridge.listen(() => assert.fail("nobody listens there any more"));
  bridge.connect("ws://desk.example/other/");
  socket.says("1").goes(1000);
  assert.deepEqual([former.readyState, socket.closed !== null], [3, true]);
  assert.deepEqual([FakeSocket.made.length, FakeSocket.last.url], [2, "ws://desk.example/other/"]);
  assert.notEqual(bridge.socket, former);
  assert.deepEqual(heard.map(([type]) => type), ["open"]);
});

test("what waited for the former socket is told of", () => {
  const { bridge, heard } = connecting();
  bridge.send(1);
  bridge.connect("ws://desk.example/other/");
  FakeSocket.made[0].goes(1006);
  assert.deepEqual(heard.map(([type, { data, reason }]) => [type, data, reason]), [["dropped", "1", "closed"]]);
});

test("before connect there is no socket, and nothing can be sent", () => {
  const bridge = new WebSocketBridge();
  assert.equal(bridge.socket, null);
  assert.throws(() => bridge.send({}), /call connect\(\) first/);
  bridge.close();
});

test("listen is called with each message, parsed, and no stream", () => {
  const { bridge, socket } = connected();
  const heard = [];
  bridge.listen((...told) => heard.push(told));
  const said = [{ text: "hi" }, ["a"], 0, null, "b", { job: "j", note: "no event" }];
  for (const message of said) socket.says(JSON.stringify(message));
  assert.deepEqual(heard, said.map((message) => [message, null]));
});

test("listen may come before connect, and goes on after the connection was lost", () => {
  const bridge = new WebSocketBridge({ WebSocket: FakeSocket });
  const heard = [];
  bridge.listen((message) => heard.push(message));
  bridge.connect("ws://desk.example/");
  FakeSocket.last.opens().says("1").goes(1006);
  passes(500);
  FakeSocket.last.opens().says("2");
  assert.deepEqual(heard, [1, 2]);
});

test("demultiplex is called with the payloads of its stream, listen with none of them", () => {
  const { bridge, socket } = connected();
  const heard = [];
  bridge.listen((...told) => heard.push(["listen", ...told]));
  bridge.demultiplex("desk", (...told) => heard.push(["desk", ...told]));
  bridge.demultiplex("chat", (...told) => heard.push(["chat", ...told]));
  socket.says({ stream: "desk", payload: { a: 1 } }).says({ stream: "chat", payload: 2 }).says({ plain: true });
  assert.deepEqual(heard, [["desk", { a: 1 }, "desk"], ["chat", 2, "chat"], ["listen", { plain: true }, null]]);
});

test("what comes on a stream that nobody listens to is told of", () => {
  const { bridge, heard, socket } = connected();
  bridge.listen(() => assert.fail("it is for a stream"));
  socket.says({ stream: "nobody", payload: 1 });
  const [, { data, reason }] = heard.at(-1);
  assert.deepEqual([data, reason], [{ stream: "nobody", payload: 1 }, "unmapped"]);
});

test("send sends JSON", () => {
  const { bridge, socket } = connected();
  assert.equal(bridge.send({ prop1: "value1" }), true);
  assert.deepEqual(socket.sent, ['{"prop1":"value1"}']);
});

test("stream(name).send sends the payload on that stream", () => {
  const { bridge, socket } = connected();
  assert.equal(bridge.stream("desk").send({ a: 1 }), true);
  assert.deepEqual(socket.sent, ['{"stream":"desk","payload":{"a":1}}']);
});

test("jobs that are heard on a stream are told of, and asked for, on that stream", async () => {
  const { bridge, socket } = connected();
  bridge.demultiplex("sums", () => assert.fail("it is about a job"));
  const on = (stream, payload) => socket.says({ stream, payload });
  on("sums", { job: "j", seq: 1, kind: "accepted", data: { of: 1, eta: null }, claim: "signed" });
  const job = bridge.job("j");
  const cancelled = job.cancel();
  assert.deepEqual(JSON.parse(socket.sent.at(-1)), {
    stream: "sums", payload: { job: "j", do: "cancel", claim: "signed" },
  });
  on("sums", { job: "j", do: "cancel", done: false });
  assert.equal(await cancelled, false);
  on("sums", { job: "j", seq: 2, kind: "result", data: 7 });
  assert.equal(await job.result, 7);
});

test("stream(name) asks for jobs on that stream, of which nothing came yet", async () => {
  const { bridge, socket } = connected();
  const resumed = bridge.stream("sums").job("k").resume("signed");
  const list = bridge.stream("sums").jobs();
  assert.deepEqual(socket.sent.map((text) => JSON.parse(text)), [
    { stream: "sums", payload: { job: "k", do: "resume", after: 0, claim: "signed" } },
    { stream: "sums", payload: { job: null, do: "list" } },
  ]);
  socket.says({ stream: "sums", payload: { job: "k", do: "resume", done: true, state: "result", seq: 1 } });
  socket.says({ stream: "sums", payload: { job: null, do: "list", jobs: [] } });
  assert.deepEqual([await resumed, await list], [true, []]);
});

test("a frame that is not JSON is an error if somebody listens, and only a message event if nobody does", async () => {
  const { bridge, socket } = connected();
  const frames = [];
  bridge.on("message", ({ data }) => frames.push(data));
  assert.deepEqual(await uncaught(() => socket.says("plain text")), []);
  bridge.listen(() => assert.fail("it cannot be parsed"));
  const [error] = await uncaught(() => socket.says("plain text"));
  assert.match(error.message, /not JSON: plain text/);
  assert.deepEqual(frames, ["plain text", "plain text"]);
});

test("a binary frame is for listeners of message only", async () => {
  const { bridge, socket } = connected();
  const frames = [];
  bridge.on("message", ({ data }) => frames.push(data));
  bridge.listen(() => assert.fail("it is binary"));
  const data = new ArrayBuffer(1);
  assert.deepEqual(await uncaught(() => socket.onmessage({ data })), []);
  assert.deepEqual(frames, [data]);
});

test("a callback that fails does not keep the next message from being heard", async () => {
  const { bridge, socket } = connected();
  const heard = [];
  bridge.listen((message) => {
    heard.push(message);
    throw new Error(message);
  });
  const found = await uncaught(() => socket.says('"a"').says('"b"'));
  assert.deepEqual(found.map(({ message }) => message), ["a", "b"]);
  assert.deepEqual(heard, ["a", "b"]);
});
