// The types of bridge.js, which is also websocketbridge.js.

export type ReadyState = 0 | 1 | 2 | 3;

/** A text frame is what `JSON.parse` makes of it. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export interface CloseFacts {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;
}

/** All durations are in milliseconds. */
export interface ConnectOptions {
  /** How long the first wait is; each is shortened by a random part, up to a half. Default 500. */
  minReconnectionDelay?: number;
  /** The longest wait. Default 20 000. */
  maxReconnectionDelay?: number;
  /** How much longer each wait is than the one before. Default 2. */
  reconnectionDelayGrowFactor?: number;
  /** After 1012 and 1013 the wait is anything up to this, or to the wait that is due, if longer. Default 5000. */
  restartSpread?: number;
  /** How long one attempt may take. Default 10 000. */
  connectionTimeout?: number;
  /** A connection that lasted so long makes the waits short again. Default 5000. */
  steadyAfter?: number;
  /** How many attempts follow each other in vain. Default: any number. */
  maxRetries?: number;
  /** How many messages wait while there is no connection. Default 100. */
  maxEnqueuedMessages?: number;
  /** After which closures it connects anew. Default: `WebSocketBridge.shouldReconnect`. */
  shouldReconnect?: (closure: CloseFacts) => boolean;
  /** Whether jobs go on when the connection was lost, since what they say goes to a group. Default false. */
  keepJobs?: boolean;
  /** Whether jobs that have not ended are resumed on the next connection, which the consumer has to obey. Default true. */
  resumeJobs?: boolean;
  /** Whether every event is written to the console. Default false. */
  debug?: boolean;
  /** Instead of the global one. */
  WebSocket?: new (url: string, protocols?: string | string[]) => unknown;
}

export interface OpenEvent extends Event {
  readonly reconnected: boolean;
}

export interface FrameEvent extends Event {
  readonly data: string | Blob | ArrayBuffer;
}

export interface FailureEvent extends Event {
  readonly message: string;
}

export interface ClosedEvent extends Event, CloseFacts {
  readonly willReconnect: boolean;
}

export interface ReconnectingEvent extends Event {
  /** 1 for the first after a connection. */
  readonly attempt: number;
  /** In how many milliseconds. */
  readonly delay: number;
}

export type DroppedEvent = Event &
  (
    | { readonly reason: "full" | "closed"; readonly data: unknown }
    | { readonly reason: "unmapped"; readonly data: { stream: string; payload: Json } }
    | { readonly reason: "unclaimed"; readonly data: JobFrame[] }
  );

export interface JobEvent extends Event {
  /** For `bridge.job`. */
  readonly id: string;
}

export interface SocketEvents {
  open: OpenEvent;
  message: FrameEvent;
  error: FailureEvent;
  close: ClosedEvent;
  reconnecting: ReconnectingEvent;
  dropped: DroppedEvent;
}

export interface BridgeEvents extends SocketEvents {
  /** The first event of a job that nobody has asked for yet. */
  job: JobEvent;
}

export interface Emitter<Events> extends EventTarget {
  on<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): this;
  off<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): this;
  addEventListener<Type extends keyof Events>(
    type: Type,
    listener: (event: Events[Type]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/** Like a WebSocket that comes back. */
export interface Line extends Emitter<SocketEvents> {
  readonly url: string;
  readonly readyState: ReadyState;
  readonly protocol: string;
  readonly extensions: string;
  readonly bufferedAmount: number;
  /** Of the next connection. */
  binaryType: BinaryType;
  onopen: ((event: OpenEvent) => void) | null;
  onmessage: ((event: FrameEvent) => void) | null;
  onerror: ((event: FailureEvent) => void) | null;
  onclose: ((event: ClosedEvent) => void) | null;
  /** Sends as it is, or keeps for the next connection; false when it can do neither. */
  send(data: string | Blob | ArrayBufferLike | ArrayBufferView): boolean;
  /** Closes for good. */
  close(code?: number, reason?: string): void;
}

export interface JobFrame<Data = unknown> {
  readonly job: string;
  readonly seq: number;
  readonly kind: string;
  readonly data: Data;
  /** Where the data of a result is had that no frame can carry; `data` is null then. */
  readonly at?: string;
  /** How large that is. */
  readonly bytes?: number;
}

/** What each kind of event says. */
export interface JobData<Result = unknown> {
  accepted: { of: number; eta: string | null };
  started: { task: string; name: string };
  step: {
    task: string;
    name: string;
    state: string;
    /** The chain, group or chord that the task is part of, as indices from the top: "2.1"; null at the top. */
    parent: string | null;
    /** Which part of that it is, from 1. */
    index: number;
    /** The task's part of the whole, from 0 to 1. */
    weight: number;
    done: number;
    of: number;
    /** How far the whole canvas is, from 0 to 1. */
    overall: number;
  };
  progress: { task: string; name: string; done: number; total: number | null; note: string | null; overall: number };
  chunk: { task: string; stream: string; chunk: Json };
  retry: {
    task: string;
    name: string;
    attempt: number;
    max: number | null;
    error: string | null;
    in_seconds: number | null;
    at: string | null;
  };
  /** Stands for events that are not kept any more; the frame's `seq` is that of the last of them. */
  rescheduled: { eta: string | null };
  snapshot: { state: string; seq: number; of: number; done: number; overall: number };
  result: Result;
  error: { code: string | null; reference: string; message: string };
  cancelled: { reason: string };
  /** The connection was closed before the job had ended; `code` is why. */
  lost: { code: number | null };
  /** Every one of them. */
  event: unknown;
}

export interface Job<Result = unknown> {
  readonly id: string;
  readonly state: null | "accepted" | "started" | "result" | "error" | "cancelled" | "lost";
  /** Rejected with a `JobError` when there is none. */
  readonly result: Promise<Result>;
  /** Calls *listener* with what came already and what will come, in order. */
  on<Kind extends keyof JobData>(
    kind: Kind,
    listener: (data: JobData<Result>[Kind], frame: JobFrame<JobData<Result>[Kind]>) => void,
  ): this;
  off<Kind extends keyof JobData>(
    kind: Kind,
    listener: (data: JobData<Result>[Kind], frame: JobFrame<JobData<Result>[Kind]>) => void,
  ): this;
  /** True if that ended it, false if it had ended; rejected with a `JobError` if it is none of this socket's. */
  cancel(): Promise<boolean>;
  /** By which another page may have the job, too; null if the server has given none. */
  readonly claim: string | null;
  /** Has the server tell what was not heard, and go on; rejected with a `JobError` if it is none of this socket's. */
  resume(claim?: string | undefined): Promise<true>;
  /** Gives the job something that one of its tasks waits for, or will; rejected with a `JobError`. */
  input(value: unknown): Promise<true>;
}

/** A stream of a demultiplexer. Jobs whose events came on it are asked on it, too. */
export interface Stream {
  send(payload: unknown): boolean;
  job<Result = unknown>(id: string): Job<Result>;
  jobs(): Promise<ListedJob[]>;
}

export interface ListedJob {
  readonly job: string;
  readonly state: "accepted" | "started" | "result" | "error" | "cancelled";
  readonly seq: number;
}

export class JobError extends Error {
  readonly job: string;
  /** The error's code, "cancelled", "lost", or why something was refused: "unknown_job", "busy", "ended", … */
  readonly code: string | null;
  /** Under which the log has the whole of it. */
  readonly reference: string | null;
}

export interface WebSocketBridge extends Emitter<BridgeEvents> {}

export class WebSocketBridge {
  constructor(options?: ConnectOptions);
  /** The default of the option `shouldReconnect`. */
  static shouldReconnect(closure: Pick<CloseFacts, "code">): boolean;
  /** Null before `connect`. */
  readonly socket: Line | null;
  /** Opens a socket: to "/" by default, on this page's host unless *url* names one. */
  connect(url?: string | URL | null, protocols?: string | string[], options?: ConnectOptions): void;
  /** Has *callback* called with every message that belongs to no stream and no job. */
  listen<Message = Json>(callback: (message: Message, stream: null) => void): void;
  /** Has *callback* called with what comes on *stream*. */
  demultiplex<Message = Json>(stream: string, callback: (message: Message, stream: string) => void): void;
  /** Sends as JSON, or keeps for the next connection; false when it can do neither. */
  send(message: unknown): boolean;
  stream(stream: string): Stream;
  job<Result = unknown>(id: string): Job<Result>;
  /** The jobs of this socket or its user, the latest first. */
  jobs(): Promise<ListedJob[]>;
  /** Closes for good, until `connect` is called again. */
  close(code?: number, reason?: string): void;
}
