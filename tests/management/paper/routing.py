"""Which consumer answers where."""

from paper import consumers

from chancelery import route

channel_routing = [
    route("websocket.receive", consumers.echo, path=r"^/echo/\Z"),
    route("websocket.receive", consumers.work, path=r"^/work/\Z"),
    route("websocket.receive", consumers.work_slowly, path=r"^/slow/\Z"),
    route("websocket.receive", consumers.hold, path=r"^/hold/\Z"),
    route("websocket.receive", consumers.answer_later, path=r"^/later/\Z"),
    route("websocket.receive", consumers.count_threads, path=r"^/threads/\Z"),
]
