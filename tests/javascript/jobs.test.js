/* The events of jobs: each once and in order, to whoever listens in time or late; and their end as a promise. */

import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { JobError } from "../../chancelery/static/chancelery/js/bridge.js";
import { connected, FakeSocket, fresh, passes, settled, uncaught } from "./fakes.js";

beforeEach(() => fresh());

const frame = (seq, kind, data = {}, job = "j") => ({ job, seq, kind, data });
const progress = (seq, done, task = "j-1") => frame(seq, "progress", { task, name: "t", done, total: 9, note: null });
const WHOLE = [
  frame(1, "accepted", { of: 2, eta: null }),
  frame(2, "started", { task: "j-1", name: "t" }),
  progress(2, 1),
  frame(3, "chunk", { task: "j-1", stream: "pages", chunk: "a" }),
  frame(4, "retry", { task: "j-1", attempt: 1 }),
  frame(5, "step", { task: "j-1", done: 1, of: 2 }),
  frame(6, "result", { words: 8 }),
];

/* What a listener of every event is told, as it is told. */
function listened(job) {
  const heard = [];
  job.on("event", (_, told) => heard.push(told));
  return heard;
}

async function rejected(promise) {
  return promise.then(assert.fail, (error) => error);
}

test("each kind of event reaches who listens to it, with its data and the whole frame", async () => {
  const { bridge, socket } = connected();
  const job = bridge.job("j");
  const heard = [];
  const kinds = ["accepted", "started", "progress", "chunk", "retry", "step", "result"];
  for (const kind of kinds) job.on(kind, (...told) => heard.push(told));
  for (const one of WHOLE) socket.says(one);
  await settled();
  assert.deepEqual(heard, WHOLE.map((one) => [one.data, one]));
});

test("events that came before anybody asked for the job are heard, in order, by every listener", async () => {
  const { bridge, socket } = connected();
  for (const one of WHOLE.slice(0, 5)) socket.says(one);
  await settled();
  const job = bridge.job("j");
  const order = [];
  job.on("step", () => order.push("step")).on("started", () => order.push("started"));
  job.on("accepted", () => order.push("accepted"));
  for (const one of WHOLE.slice(5)) socket.says(one);
  await settled();
  assert.deepEqual(order, ["accepted", "started", "step"]);
  const late = listened(bridge.job("j"));
  await settled();
  assert.deepEqual(late, WHOLE);
  assert.deepEqual(await job.result, { words: 8 });
});

test("a result that no frame can carry is fetched, when somebody asks for it", async () => {
  const asked = [];
  const answers = [{ ok: true, json: async () => ({ words: 8 }) }, { ok: false, status: 404 }];
  mock.method(globalThis, "fetch", async (at) => (asked.push(at), answers.shift()));
  const { bridge, socket } = connected();
  for (const id of ["j", "k"]) socket.says({ ...frame(1, "result", null, id), at: `/results/${id}/`, bytes: 9 });
  await settled();
  assert.deepEqual(asked, []);
  assert.deepEqual(await bridge.job("j").result, { words: 8 });
  const { code, message } = await rejected(bridge.job("k").result);
  assert.deepEqual([code, message], ["not_fetched", "the result could not be fetched (404)"]);
  assert.deepEqual(asked, ["/results/j/", "/results/k/"]);
});

test("events that are repeated are heard once, and old progress not at all", async () => {
  const { bridge, socket } = connected();
  const heard = listened(bridge.job("j"));
  for (const one of [...WHOLE, ...WHOLE].flatMap((one) => [one, one])) {
    socket.says(one);
    await settled();
  }
  assert.deepEqual(heard.filter(({ kind }) => kind !== "progress"), WHOLE.filter(({ kind }) => kind !== "progress"));
  assert.equal(heard.filter(({ kind }) => kind === "progress").length, 2, "two in a row cannot be told apart");
  assert.equal(heard.at(-1).kind, "result");
});

test("progress of a step that is over, and of a job that has ended, is not heard", async () => {
  const { bridge, socket } = connected();
  const heard = listened(bridge.job("j"));
  socket.says(frame(5, "step")).says(progress(2, 1)).says(progress(5, 2)).says(frame(6, "result")).says(progress(6, 3));
  await settled();
  const told = heard.map(({ kind, data }) => [kind, data.done]);
  assert.deepEqual(told, [["step", undefined], ["progress", 2], ["result", undefined]]);
});

test("who listens late hears the latest progress of each task", async () => {
  const { bridge, socket } = connected();
  for (let done = 1; done <= 5; done += 1) socket.says(progress(2, done)).says(progress(2, done * 10, "j-2"));
  await settled();
  const heard = listened(bridge.job("j"));
  await settled();
  assert.deepEqual(heard.map(({ data }) => data.done), [5, 50]);
});

test("a listener that was taken off hears nothing more", async () => {
  const { bridge, socket } = connected();
  const heard = [];
  const listener = () => heard.push("step");
  const job = bridge.job("j").on("step", listener);
  socket.says(frame(1, "step"));
  await settled();
  job.off("step", listener);
  socket.says(frame(2, "step"));
  await settled();
  assert.deepEqual(heard, ["step"]);
});

test("an event that there is not cannot be listened to", () => {
  const { bridge } = connected();
  const known = /no events "done": it has accepted, .*, cancelled, lost, event/;
  assert.throws(() => bridge.job("j").on("done", () => {}), known);
});

test("a kind of a later version is heard by who listens to every event", async () => {
  const { bridge, socket } = connected();
  const heard = listened(bridge.job("j"));
  socket.says(frame(1, "paused"));
  await settled();
  assert.deepEqual(heard, [frame(1, "paused")]);
});

test("jobs are told apart, and no frame of theirs is for listen", async () => {
  const { bridge, socket } = connected();
  bridge.listen(() => assert.fail("it is an event of a job"));
  const [one, other] = [listened(bridge.job("one")), listened(bridge.job("other"))];
  for (const id of ["one", "other"]) socket.says(frame(1, "accepted", {}, id));
  socket.says(frame(2, "result", 1, "one"));
  await settled();
  assert.deepEqual([one.length, other.length], [2, 1]);
  assert.equal(bridge.job("one"), bridge.job("one"));
  const states = ["one", "other", "new"].map((id) => bridge.job(id).state);
  assert.deepEqual(states, ["result", "accepted", null]);
});

test("the first event of a job is told on the bridge, if nobody has asked for the job", async () => {
  const { bridge, heard, socket } = connected();
  bridge.job("mine");
  for (const one of WHOLE) socket.says(one).says({ ...one, job: "mine" });
  const told = heard.filter(([type]) => type === "job").map(([, { id }]) => id);
  assert.deepEqual(told, ["j"]);
});

test("the result is a promise, whenever it is asked for", async () => {
  const { bridge, socket } = connected();
  const early = bridge.job("j").result;
  for (const one of WHOLE) socket.says(one);
  assert.deepEqual(await early, { words: 8 });
  assert.deepEqual(await bridge.job("j").result, { words: 8 });
});

test("an error rejects it with its code, its reference and its message", async () => {
  const { bridge, socket } = connected();
  const { result } = bridge.job("j");
  socket.says(frame(1, "error", { code: "PaperJam", reference: "0a1b", message: "tray 2 is empty" }));
  const error = await rejected(result);
  assert.ok(error instanceof JobError && error instanceof Error);
  const { name, job, code, reference, message } = error;
  assert.deepEqual({ name, job, code, reference, message }, {
    name: "JobError", job: "j", code: "PaperJam", reference: "0a1b", message: "tray 2 is empty",
  });
});

test("a job that was cancelled rejects it as cancelled", async () => {
  const { bridge, socket } = connected();
  socket.says(frame(1, "cancelled", { reason: "revoked" }));
  const { code, message } = await rejected(bridge.job("j").result);
  assert.deepEqual([code, message], ["cancelled", "the job was cancelled (revoked)"]);
});

test("a promise that nobody has asked for is never an unhandled rejection", async () => {
  const found = [];
  const unhandled = (error) => found.push(error);
  process.on("unhandledRejection", unhandled);
  const { bridge, socket } = connected();
  bridge.job("j").on("error", () => {});
  socket.says(frame(1, "error", { code: "PaperJam", reference: "0a1b", message: "" }));
  socket.goes(1006);
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", unhandled);
  assert.deepEqual(found, []);
});

test("when the connection is lost for good, jobs are lost that have not ended, and say so", async () => {
  const { bridge, socket } = connected();
  const [open, ended] = [bridge.job("open"), bridge.job("ended")];
  const heard = listened(open);
  socket.says(frame(1, "accepted", {}, "open")).says(frame(1, "result", 7, "ended")).goes(1008);
  assert.equal((await rejected(open.result)).code, "lost");
  assert.equal(await ended.result, 7);
  assert.deepEqual([open.state, ended.state], ["lost", "result"]);
  assert.deepEqual(heard.at(-1), frame(1, "lost", { code: 1008 }, "open"));
});

test("without resumeJobs they are lost with the connection", async () => {
  const { bridge, socket } = connected({ resumeJobs: false });
  const { result } = bridge.job("j");
  socket.says(WHOLE[0]).goes(1012);
  assert.equal((await rejected(result)).code, "lost");
  passes(5000);
  assert.deepEqual(FakeSocket.last.opens().sent, []);
});

/* The next connection after one that was cut off. */
function reconnected(socket) {
  socket.goes(1006);
  passes(1000);
  return FakeSocket.last.opens();
}

function asked(socket) {
  return socket.sent.map((text) => JSON.parse(text));
}

test("after a cut, jobs that have not ended are resumed after what was heard, with the claim that there is", async () => {
  const { bridge, socket } = connected();
  const heard = listened(bridge.job("j"));
  bridge.job("silent");
  socket.says({ ...WHOLE[0], claim: "signed" }).says(WHOLE[1]).says(frame(9, "result", 7, "ended"));
  const next = reconnected(socket);
  assert.deepEqual(asked(next), [
    { job: "j", do: "resume", after: 2, claim: "signed" },
    { job: "silent", do: "resume", after: 0 },
  ]);
  for (const one of WHOLE) next.says(one);
  next.says({ job: "j", do: "resume", done: true, state: "result", seq: 6 });
  assert.deepEqual(await bridge.job("j").result, { words: 8 });
  const durable = heard.filter(({ kind }) => kind !== "progress").map(({ seq }) => seq);
  assert.deepEqual(durable, [1, 2, 3, 4, 5, 6]);
});

test("a second cut while it is being resumed is survived", async () => {
  const { bridge, socket } = connected();
  bridge.job("j");
  socket.says(WHOLE[0]);
  const third = reconnected(reconnected(socket).says(WHOLE[1]));
  assert.deepEqual(asked(third), [{ job: "j", do: "resume", after: 2 }]);
  await settled();
  assert.equal(bridge.job("j").state, "started");
});

test("a job that cannot be resumed is lost", async () => {
  const { bridge, socket } = connected();
  const { result } = bridge.job("j");
  reconnected(socket).says({ job: "j", do: "resume", error: "unknown_job" });
  assert.equal((await rejected(result)).code, "lost");
});

test("a job is lost if nobody answers on a connection that is there", async () => {
  const { bridge, socket } = connected();
  const { result } = bridge.job("j");
  reconnected(socket);
  await settled();
  passes(10_000);
  assert.equal((await rejected(result)).code, "lost");
});

test("where there is no room it is asked for again a little later", async () => {
  const { bridge, socket } = connected();
  bridge.job("j");
  const next = reconnected(socket).says({ job: "j", do: "resume", error: "busy" });
  await settled();
  passes(1000);
  assert.equal(next.sent.length, 2);
});

test("what is missing is asked for, and what came after it is heard in its place", async () => {
  const { bridge, socket } = connected();
  const heard = listened(bridge.job("j"));
  socket.says(frame(1, "accepted")).says(frame(3, "chunk")).says(frame(4, "result", 7));
  assert.deepEqual(asked(socket), [{ job: "j", do: "resume", after: 1 }]);
  for (const one of [frame(2, "chunk"), frame(3, "chunk"), frame(4, "result", 7)]) socket.says(one);
  socket.says({ job: "j", do: "resume", done: true, state: "result", seq: 4 });
  assert.equal(await bridge.job("j").result, 7);
  await settled();
  assert.deepEqual(heard.map(({ seq }) => seq), [1, 2, 3, 4]);
});

test("what is missing and not to be had keeps nothing else from being heard", async () => {
  const { bridge, socket } = connected();
  const heard = listened(bridge.job("j"));
  socket.says(frame(1, "accepted")).says(frame(3, "chunk")).says(frame(4, "result", 7));
  socket.says({ job: "j", do: "resume", error: "unknown_job" });
  assert.equal(await bridge.job("j").result, 7);
  await settled();
  assert.deepEqual(heard.map(({ seq }) => seq), [1, 3, 4]);
});

test("a snapshot says where to go on, also further back", async () => {
  const { bridge, socket } = connected();
  const heard = listened(bridge.job("j"));
  socket.says(frame(5, "chunk")).says(frame(3, "snapshot", { state: "started", seq: 3, of: 2, done: 1 }));
  socket.says(frame(4, "chunk"));
  await settled();
  assert.deepEqual(heard.map(({ kind, seq }) => [kind, seq]), [["chunk", 5], ["snapshot", 3], ["chunk", 4]]);
  assert.equal(bridge.job("j").state, "started");
});

test("a job of another page is resumed with the claim to it, which is kept until it ends", async () => {
  const { bridge, socket } = connected();
  const job = bridge.job("j");
  const resumed = job.resume("signed");
  assert.deepEqual(asked(socket), [{ job: "j", do: "resume", after: 0, claim: "signed" }]);
  socket.says({ job: "j", do: "resume", done: true, state: "accepted", seq: 1 });
  assert.equal(await resumed, true);
  assert.equal(job.claim, "signed");
  job.cancel();
  assert.deepEqual(asked(socket).at(-1), { job: "j", do: "cancel", claim: "signed" });
  for (const one of WHOLE) socket.says(one);
  assert.equal(job.claim, null);
  assert.equal(await job.resume(), true, "it has ended");
});

test("claims outlive a reload where the browser keeps things, and do without where it does not", async (context) => {
  const kept = new Map();
  const storage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
  const before = Object.getOwnPropertyDescriptor(globalThis, "sessionStorage");
  context.after(() => {
    delete globalThis.sessionStorage;
    if (before !== undefined) Object.defineProperty(globalThis, "sessionStorage", before);
  });
  Object.defineProperty(globalThis, "sessionStorage", { configurable: true, get: () => storage });
  const first = connected();
  first.socket.says({ ...WHOLE[0], claim: "signed" });
  assert.equal(connected().bridge.job("j").claim, "signed");
  first.socket.says(frame(2, "result", 7));
  assert.equal(connected().bridge.job("j").claim, null);
  const denied = () => {
    throw new DOMException("denied", "SecurityError");
  };
  Object.defineProperty(globalThis, "sessionStorage", { configurable: true, get: denied });
  const last = connected();
  last.socket.says({ ...WHOLE[0], claim: "signed" });
  assert.equal(last.bridge.job("j").claim, "signed");
});

test("what a job is given is answered in order, each", async () => {
  const { bridge, socket } = connected();
  const job = bridge.job("j");
  const [first, second] = [job.input({ name: "a" }), job.input(2)];
  assert.deepEqual(asked(socket).map(({ value }) => value), [{ name: "a" }, 2]);
  socket.says({ job: "j", do: "input", done: true }).says({ job: "j", do: "input", error: "ended" });
  assert.equal(await first, true);
  assert.equal((await rejected(second)).code, "ended");
});

test("the jobs of the socket are listed", async () => {
  const { bridge, socket } = connected();
  const jobs = bridge.jobs();
  assert.deepEqual(asked(socket), [{ job: null, do: "list" }]);
  socket.says({ job: null, do: "list", jobs: [{ job: "j", state: "started", seq: 2 }] });
  assert.deepEqual(await jobs, [{ job: "j", state: "started", seq: 2 }]);
});

test("connecting elsewhere loses the jobs, too", async () => {
  const { bridge } = connected();
  const job = bridge.job("j");
  bridge.connect("ws://desk.example/other/");
  assert.equal((await rejected(job.result)).code, "lost");
});

test("with keepJobs they outlive the connection, for events that go to a group", async () => {
  const { bridge, socket } = connected({ keepJobs: true });
  const { result } = bridge.job("j");
  socket.says(WHOLE[0]).goes(1006);
  passes(500);
  FakeSocket.last.opens().says(WHOLE.at(-1));
  assert.deepEqual(await result, { words: 8 });
});

test("cancel asks the server, once, and is answered", async () => {
  const { bridge, socket } = connected();
  const job = bridge.job("j");
  const answers = Promise.all([job.cancel(), job.cancel()]);
  assert.deepEqual(socket.sent, ['{"job":"j","do":"cancel"}']);
  socket.says(frame(2, "cancelled", { reason: "cancelled" })).says({ job: "j", do: "cancel", done: true });
  assert.deepEqual(await answers, [true, true]);
  assert.equal(await job.cancel(), false, "it has ended");
  assert.equal(socket.sent.length, 1);
});

test("a cancel that comes too late says so", async () => {
  const { bridge, socket } = connected();
  const answer = bridge.job("j").cancel();
  socket.says({ job: "j", do: "cancel", done: false });
  assert.equal(await answer, false);
});

test("a job of somebody else's cannot be cancelled", async () => {
  const { bridge, socket } = connected();
  const answer = bridge.job("j").cancel();
  socket.says({ job: "j", do: "cancel", error: "unknown_job" });
  const error = await rejected(answer);
  assert.deepEqual([error.name, error.code], ["JobError", "unknown_job"]);
});

test("without a connection nothing can be cancelled, and an answer that is lost with it does not come", async () => {
  const { bridge, socket } = connected({ keepJobs: true });
  const asked = bridge.job("j").cancel();
  socket.goes(1006);
  assert.equal((await rejected(asked)).code, "lost");
  assert.equal((await rejected(bridge.job("j").cancel())).code, "lost");
  passes(500);
  assert.deepEqual(FakeSocket.last.opens().sent, []);
});

test("of jobs that nobody asks for a hundred are kept, and whose events are forgotten is told", async () => {
  const { bridge, heard, socket } = connected();
  const ids = Array.from({ length: 102 }, (_, number) => `job-${number}`);
  for (const id of ids) socket.says(frame(1, "accepted", {}, id));
  const dropped = heard.filter(([type]) => type === "dropped").map(([, { data, reason }]) => [data, reason]);
  const expected = ids.slice(0, 2).map((id) => [[frame(1, "accepted", {}, id)], "unclaimed"]);
  assert.deepEqual(dropped, expected);
  await settled();
  const [oldest] = [listened(bridge.job(ids[2]))];
  await settled();
  assert.equal(oldest.length, 1);
});

test("jobs that somebody waits for are never forgotten, however many there are", async () => {
  const { bridge, socket } = connected();
  const ids = Array.from({ length: 300 }, (_, number) => `job-${number}`);
  const results = ids.map((id) => bridge.job(id).result);
  for (const id of [...ids].reverse()) socket.says(frame(1, "result", id, id));
  assert.deepEqual(await Promise.all(results), ids);
});

test("of one job two hundred events are kept for those who come late", async () => {
  const { bridge, socket } = connected();
  for (let seq = 1; seq <= 250; seq += 1) socket.says(frame(seq, "chunk", { chunk: seq }));
  await settled();
  const heard = listened(bridge.job("j"));
  await settled();
  assert.deepEqual([heard.length, heard[0].seq, heard.at(-1).seq], [200, 51, 250]);
});

test("a listener that fails does not keep others from hearing, nor the promise from being kept", async () => {
  mock.timers.reset();
  const { bridge, socket } = connected();
  const job = bridge.job("j");
  const { result } = job;
  job.on("result", () => {
    throw new Error("mine");
  });
  const heard = listened(job);
  const found = await uncaught(() => socket.says(WHOLE.at(-1)));
  assert.deepEqual(found.map(({ message }) => message), ["mine"]);
  assert.equal(heard.length, 1);
  assert.deepEqual(await result, { words: 8 });
  bridge.close();
});
