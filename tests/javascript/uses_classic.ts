/// <reference path="../../chancelery/static/chancelery/js/websocketbridge.d.ts" />

const bridge = new channels.WebSocketBridge();
bridge.connect("/");
bridge.listen((action, stream) => [action, stream]);
new chancelery.WebSocketBridge().on("close", ({ code }) => code);
// @ts-expect-error there is no such name
channels.WebsocketBridge;
