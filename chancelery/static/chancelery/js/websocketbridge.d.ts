// The globals that websocketbridge.js makes.

type Bridge = typeof import("./bridge.js");

declare global {
  const chancelery: Pick<Bridge, "WebSocketBridge" | "JobError">;
  const channels: Pick<Bridge, "WebSocketBridge" | "JobError">;
}

export {};
