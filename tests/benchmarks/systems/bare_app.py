"""The floor: what the protocol server itself costs, with an ASGI application that has no layer and no framework."""

MEMBERS = set()


async def application(scope, receive, send):
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    if scope["path"] == "/member/":
        MEMBERS.add(send)
    try:
        await serve(scope["path"], receive, send)
    finally:
        MEMBERS.discard(send)


async def serve(path, receive, send):
    while True:
        event = await receive()
        if event["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif event["type"] == "websocket.disconnect":
            return
        elif path == "/send/":
            await to_all({"type": "websocket.send", "text": event["text"]})
        else:
            await send({"type": "websocket.send", "text": event["text"]})


async def to_all(event):
    for send in list(MEMBERS):
        await send(event)
