"""Channel -> consumer."""

from chancelery import route
from tests.faults.site import consumers

_PATH = r"^/(?P<room>[a-z0-9]+)/$"

channel_routing = [
    route("websocket.connect", consumers.connect, path=_PATH),
    route("websocket.receive", consumers.receive, path=_PATH),
    route("websocket.disconnect", consumers.disconnect, path=_PATH),
    *(route(name, consumers.onward) for name in ("plain.step", "plain.free", "sure.step", "sure.free")),
]
