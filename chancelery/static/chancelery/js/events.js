/* Events that carry their facts as the browser's own do: event.code, event.data. */

export class BridgeEvent extends Event {
  constructor(type, facts) {
    super(type);
    Object.assign(this, facts);
  }
}

export class Emitter extends EventTarget {
  on(type, listener) {
    this.addEventListener(type, listener);
    return this;
  }

  off(type, listener) {
    this.removeEventListener(type, listener);
    return this;
  }
}

/* A listener that throws does not keep others from hearing: its error goes where uncaught ones go. */
export function isolated(listener, ...facts) {
  try {
    listener(...facts);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
