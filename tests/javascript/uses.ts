/* Everything that the types allow, and, where an error is expected, what they do not. */

import { JobError, WebSocketBridge } from "../../chancelery/static/chancelery/js/bridge.js";
import type { Job, JobFrame, Line } from "../../chancelery/static/chancelery/js/bridge.js";

const bridge = new WebSocketBridge({ debug: true });
bridge.connect();
bridge.connect("/chat/", ["a"], { maxRetries: 3, shouldReconnect: ({ code }) => code !== 4000, keepJobs: true });
const { shouldReconnect } = WebSocketBridge;
bridge.connect(new URL("wss://desk.example/"), undefined, { shouldReconnect, WebSocket });
// @ts-expect-error there is no such option
bridge.connect("/", undefined, { maxRetry: 3 });

interface Said {
  text: string;
}
bridge.listen<Said>((message, stream: null) => message.text.toUpperCase());
bridge.demultiplex<Said>("chat", ({ text }, stream: string) => text + stream);
bridge.demultiplex("chat", (message) => {
  // @ts-expect-error what came may be anything that JSON can say
  message.text;
});
const sent: boolean = bridge.send({ a: 1 }) && bridge.stream("chat").send({ text: "hi" });
bridge.stream("chat").job("id").on("result", (data) => data);

const socket: Line | null = bridge.socket;
socket?.addEventListener("open", () => {});
socket?.addEventListener("close", ({ code, willReconnect }) => (willReconnect ? code : -code));
socket?.send(new Uint8Array(1));
// @ts-expect-error it may be null before connect
bridge.socket.close();

bridge.on("reconnecting", ({ attempt, delay }) => attempt * delay).on("open", ({ reconnected }) => !reconnected);
bridge.addEventListener("job", ({ id }) => id.length);
bridge.on("dropped", (event) => {
  if (event.reason === "unclaimed") event.data.map(({ kind }) => kind);
  else if (event.reason === "unmapped") event.data.stream.length;
});
// @ts-expect-error there is no such event
bridge.on("opened", () => {});

async function counted(id: string): Promise<number> {
  const job: Job<{ words: number }> = bridge.job<{ words: number }>(id);
  job.on("accepted", ({ of, eta }) => [of, eta]);
  job.on("started", ({ task, name }) => task + name);
  job.on("progress", ({ done, total, note }) => (total === null ? note : done / total));
  job.on("chunk", ({ stream, chunk }) => [stream, chunk]);
  job.on("step", ({ done, of }) => done / of);
  job.on("retry", ({ attempt, max, in_seconds }) => [attempt, max, in_seconds]);
  job.on("result", ({ words }) => words).on("error", ({ code, reference, message }) => [code, reference, message]);
  job.on("cancelled", ({ reason }) => reason).on("lost", ({ code }) => code);
  job.on("event", (_, { kind, seq }: JobFrame) => kind.length + seq);
  // @ts-expect-error there is no such kind of event
  job.on("done", () => {});
  // @ts-expect-error the result has no such key
  job.on("result", ({ pages }) => pages);
  // @ts-expect-error total may be null
  job.on("progress", ({ done, total }) => done / total);
  job.on("snapshot", ({ state, seq, of, done }) => [state, seq, of, done]);
  const goesOn: true = await job.resume(job.claim ?? undefined);
  const given: true = await job.input({ answer: goesOn });
  const listed: string[] = (await bridge.jobs()).map((each) => (given ? each.job : each.state));
  // @ts-expect-error a claim is text
  await job.resume(listed);
  const wasRunning: boolean = await job.cancel();
  try {
    return (await job.result).words;
  } catch (error) {
    if (error instanceof JobError && error.code === "cancelled") return wasRunning ? 0 : 1;
    throw error;
  }
}

bridge.close(1000, "done");
export { counted, sent };
