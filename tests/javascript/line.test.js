/* How the connection is lost and comes back, and what becomes of what is sent meanwhile. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { WebSocketBridge } from "../../chancelery/static/chancelery/js/bridge.js";
import { connected, connecting, FakeSocket, fresh, passes, uncaught } from "./fakes.js";

beforeEach(() => fresh());
afterEach(() => {
  delete globalThis.addEventListener;
  delete globalThis.removeEventListener;
});

const ofType = (heard, type) => heard.filter(([found]) => found === type).map(([, event]) => event);
const delays = (heard) => ofType(heard, "reconnecting").map(({ delay }) => delay);
const reasons = (heard) => ofType(heard, "dropped").map(({ data, reason }) => [data, reason]);

test("a connection that is lost is made anew, each time a little later, up to the longest wait", () => {
  const { heard } = connected();
  for (let attempt = 1; attempt <= 8; attempt += 1) {
    FakeSocket.last.goes(1006);
    passes(delays(heard).at(-1));
    assert.equal(FakeSocket.made.length, attempt + 1);
  }
  assert.deepEqual(delays(heard), [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
  assert.deepEqual(ofType(heard, "reconnecting").map(({ attempt }) => attempt), [1, 2, 3, 4, 5, 6, 7, 8]);
});

test("each wait is shortened by a random part, up to a half", () => {
  fresh(0);
  const { heard } = connected();
  FakeSocket.last.goes(1006);
  assert.deepEqual(delays(heard), [250]);
});

test("the waits are those of the options", () => {
  const options = { minReconnectionDelay: 10, maxReconnectionDelay: 50, reconnectionDelayGrowFactor: 3 };
  const { heard } = connected(options);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    FakeSocket.last.goes(1006);
    passes(50);
  }
  assert.deepEqual(delays(heard), [10, 30, 50]);
});

test("after a restart of the server its clients come back spread out, over a time that grows", () => {
  fresh(0.9);
  for (const [code, expected] of [[1012, 4500], [1013, 4500], [4012, 4500], [1001, 475]]) {
    const { heard } = connected();
    FakeSocket.last.goes(code);
    assert.deepEqual(delays(heard), [expected], String(code));
  }
  const { heard } = connected();
  for (let attempt = 0; attempt < 6; attempt += 1) {
    FakeSocket.last.goes(1013);
    passes(18_000);
  }
  assert.equal(delays(heard).at(-1), 14_400);
});

test("a connection that was steady makes the waits short again, one that was not does not", () => {
  const { heard } = connected();
  FakeSocket.last.goes(1006);
  passes(500);
  FakeSocket.last.opens();
  passes(4999);
  FakeSocket.last.goes(1006);
  passes(1000);
  FakeSocket.last.opens();
  passes(5000);
  FakeSocket.last.goes(1006);
  assert.deepEqual(delays(heard), [500, 1000, 500]);
});

test("an attempt that takes too long is given up and made again", () => {
  const { heard } = connecting({ connectionTimeout: 3000 });
  const first = FakeSocket.last;
  passes(3000);
  assert.deepEqual([first.closed !== null, first.onopen], [true, null]);
  passes(500);
  assert.equal(FakeSocket.made.length, 2);
  assert.deepEqual(ofType(heard, "close").map(({ code, willReconnect }) => [code, willReconnect]), [[1006, true]]);
});

for (const code of [1000, 1003, 1008, 1010, 4003, 4008, 4400, 4401, 4403, 4404, 4499]) {
  test(`after ${code} it does not come back`, () => {
    const { bridge, heard } = connected();
    FakeSocket.last.goes(code, "why");
    passes(60_000);
    assert.equal(FakeSocket.made.length, 1);
    const [{ code: told, reason, willReconnect }] = ofType(heard, "close");
    assert.deepEqual([told, reason, willReconnect], [code, "why", false]);
    assert.equal(bridge.socket.readyState, 3);
  });
}

for (const code of [1001, 1005, 1006, 1009, 1011, 1012, 1013, 3000, 4000, 4009, 4012, 4408, 4425, 4429, 4500]) {
  test(`after ${code} it comes back`, () => {
    connected();
    FakeSocket.last.goes(code);
    passes(5000);
    assert.equal(FakeSocket.made.length, 2);
  });
}

test("which closures are final is an option, which may build on the default", () => {
  const shouldReconnect = (closure) => closure.code !== 4999 && WebSocketBridge.shouldReconnect(closure);
  for (const [code, made] of [[4999, 1], [1008, 1], [1006, 2]]) {
    fresh();
    connected({ shouldReconnect });
    FakeSocket.last.goes(code);
    passes(500);
    assert.equal(FakeSocket.made.length, made, String(code));
  }
});

test("after maxRetries attempts in vain it stays closed", () => {
  const { bridge, heard } = connected({ maxRetries: 2 });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    FakeSocket.last.goes(1006);
    passes(1000);
  }
  assert.equal(FakeSocket.made.length, 3);
  assert.deepEqual(ofType(heard, "close").map(({ willReconnect }) => willReconnect), [true, true, false]);
  assert.equal(bridge.socket.readyState, 3);
});

test("what the page closes does not come back, and its close is no error", () => {
  const { bridge, heard } = connected();
  bridge.close(4000, "done");
  assert.deepEqual(FakeSocket.last.closed, { code: 4000, reason: "done" });
  assert.equal(bridge.socket.readyState, 2);
  FakeSocket.last.goes(1006);
  passes(60_000);
  assert.equal(FakeSocket.made.length, 1);
  assert.deepEqual(heard.map(([type]) => type), ["open", "close"]);
});

test("closing while it waits for the next attempt ends it at once", () => {
  const { bridge, heard } = connected();
  FakeSocket.last.goes(1006);
  bridge.close();
  bridge.close();
  passes(60_000);
  assert.equal(FakeSocket.made.length, 1);
  const closes = ofType(heard, "close").map(({ code, willReconnect }) => [code, willReconnect]);
  assert.deepEqual(closes, [[1006, true], [1000, false]]);
});

test("a listener that closes it when the connection is lost is obeyed", () => {
  const { bridge, heard } = connected();
  bridge.on("close", () => bridge.close());
  FakeSocket.last.goes(1006);
  passes(60_000);
  assert.equal(FakeSocket.made.length, 1);
  assert.deepEqual(ofType(heard, "reconnecting"), []);
});

test("when the browser is online again it connects at once, whatever it was waiting for", () => {
  const window = new EventTarget();
  globalThis.addEventListener = (...what) => window.addEventListener(...what);
  globalThis.removeEventListener = (...what) => window.removeEventListener(...what);
  const { bridge, heard } = connected();
  window.dispatchEvent(new Event("online"));
  assert.equal(FakeSocket.made.length, 1, "an open connection is left alone");
  FakeSocket.last.goes(1006);
  window.dispatchEvent(new Event("online"));
  assert.equal(FakeSocket.made.length, 2, "a wait is cut short");
  const hanging = FakeSocket.last;
  window.dispatchEvent(new Event("online"));
  assert.equal(FakeSocket.made.length, 3, "an attempt without a network is replaced");
  assert.deepEqual([hanging.closed !== null, hanging.onclose], [true, null]);
  FakeSocket.last.goes(1006);
  assert.deepEqual(delays(heard), [500, 500], "it begins anew with short waits");
  bridge.close();
  window.dispatchEvent(new Event("online"));
  assert.equal(FakeSocket.made.length, 3, "what was closed stays closed");
});

test("what is sent without a connection goes out in order when there is one", () => {
  const { bridge } = connecting();
  assert.deepEqual([1, 2].map((number) => bridge.send(number)), [true, true]);
  FakeSocket.last.opens();
  bridge.send(3);
  assert.deepEqual(FakeSocket.last.sent, ["1", "2", "3"]);
  FakeSocket.last.goes(1006);
  bridge.send(4);
  bridge.stream("desk").send(5);
  passes(500);
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, ["4", '{"stream":"desk","payload":5}']);
});

test("what is sent while the connection ends is kept, too", () => {
  const { bridge, socket } = connected();
  socket.readyState = 2; // the browser knows already, and says so later
  assert.equal(bridge.send("kept"), true);
  socket.goes(1006);
  passes(500);
  FakeSocket.last.opens();
  assert.deepEqual([socket.sent, FakeSocket.last.sent], [[], ['"kept"']]);
});

test("what a listener of open sends goes out before what had to wait", () => {
  const { bridge } = connecting();
  bridge.on("open", ({ reconnected }) => bridge.send({ hello: reconnected }));
  bridge.send("waited");
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, ['{"hello":false}', '"waited"']);
  FakeSocket.last.goes(1006);
  passes(500);
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, ['{"hello":true}']);
});

test("what finds no room in the queue is refused and told of, and the rest goes out", () => {
  const { bridge, heard } = connecting({ maxEnqueuedMessages: 2 });
  assert.deepEqual([1, 2, 3].map((number) => bridge.send(number)), [true, true, false]);
  assert.deepEqual(reasons(heard), [["3", "full"]]);
  FakeSocket.last.opens();
  assert.deepEqual(FakeSocket.last.sent, ["1", "2"]);
});

test("what still waits when it is closed for good is told of, and so is what is sent after", () => {
  const { bridge, heard } = connecting();
  bridge.send(1);
  FakeSocket.last.goes(1008);
  assert.equal(bridge.send(2), false);
  assert.deepEqual(reasons(heard), [["1", "closed"], ["2", "closed"]]);
});

test("the socket looks like a WebSocket, through all connections", () => {
  const { bridge } = connecting();
  const { socket } = bridge;
  const told = [];
  socket.onopen = () => told.push("open");
  socket.onmessage = ({ data }) => told.push(data);
  socket.onerror = () => told.push("error");
  socket.onclose = ({ code }) => told.push(code);
  socket.addEventListener("open", () => told.push("open, too"));
  socket.binaryType = "arraybuffer";
  assert.deepEqual([socket.url, socket.readyState], ["ws://desk.example/news/", 0]);
  for (const word of ["one", "other"]) {
    Object.assign(FakeSocket.last, { protocol: "p", extensions: "e", bufferedAmount: 7 }).opens();
    assert.deepEqual([socket.readyState, socket.protocol, socket.extensions, socket.bufferedAmount], [1, "p", "e", 7]);
    socket.send(word);
    assert.deepEqual(FakeSocket.last.sent, [word]);
    FakeSocket.last.says(word).goes(1006);
    assert.deepEqual([socket.readyState, socket.protocol, socket.bufferedAmount], [0, "", 0]);
    passes(1000);
  }
  assert.equal(FakeSocket.last.binaryType, "arraybuffer");
  const once = (word) => ["open", "open, too", word, "error", 1006];
  assert.deepEqual(told, [...once("one"), ...once("other")]);
  assert.equal(bridge.socket, socket);
  socket.close();
  assert.equal(socket.readyState, 2);
});

test("listeners may be added and taken away on the bridge, too", () => {
  const { bridge, socket } = connected();
  const told = [];
  const listener = ({ data }) => told.push(data);
  bridge.on("message", listener).on("message", () => told.push("other"));
  socket.says('"a"');
  bridge.off("message", listener);
  socket.says('"b"');
  assert.deepEqual(told, ['"a"', "other", "other"]);
});

test("a listener that fails does not keep the connection from coming back", async () => {
  const { bridge } = connected();
  bridge.on("close", () => {
    throw new Error("mine");
  });
  mock.timers.reset();
  const found = await uncaught(() => {
    FakeSocket.last.goes(1012);
    assert.equal(bridge.socket.readyState, 0);
    bridge.close();
  });
  assert.deepEqual(found.map(({ message }) => message), ["mine", "mine"]);
});

test("an option that there is not is refused by name, and so is one that is no number", () => {
  assert.throws(() => connecting({ maxRetry: 3 }), /no option "maxRetry": allowed are .*maxRetries/);
  assert.throws(() => connecting({ maxRetries: "3" }), /"maxRetries" is a number from 0 on, not 3/);
  assert.throws(() => connecting({ restartSpread: NaN }), /"restartSpread"/);
  assert.equal(FakeSocket.made.length, 0);
});

test("with debug every event is written to the console", () => {
  const { mock: written } = mock.method(console, "debug", () => {});
  connected({ debug: true });
  FakeSocket.last.goes(1006);
  const types = written.calls.map((call) => call.arguments[1]);
  assert.deepEqual(types, ["open", "error", "close", "reconnecting"]);
});
