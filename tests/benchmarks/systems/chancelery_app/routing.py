"""Which consumer answers which path."""

from chancelery import route
from chancelery.tasks import obey
from chancelery_app.consumers import accept, ask, ask_chord, broadcast, dawdle, echo, join, wait

channel_routing = [
    route("websocket.connect", join, path=r"^/member/$"),
    route("websocket.connect", accept),
    route("websocket.receive", echo, path=r"^/echo/$"),
    route("websocket.receive", wait, path=r"^/wait/$"),
    route("websocket.receive", dawdle, path=r"^/slow/$"),
    route("websocket.receive", broadcast, path=r"^/send/$"),
    route("websocket.receive", ask, path=r"^/task/$"),
    route("websocket.receive", obey, path=r"^/jobs/$"),
    route("websocket.receive", ask_chord, path=r"^/chord/$"),
]
