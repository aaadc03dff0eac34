r"""
Which consumer handles a message: routes with regex filters on any of its keys, nested by prefixes.

    channel_routing = [
        route("websocket.receive", on_receive, path=r"^/chat/(?P<room>\w+)/$"),
        include("blog.routing", path=r"^/blog"),
    ]

Everything is resolved and compiled when a routing is built, and indexed by channel. Knows messages by shape only.
"""

from chancelery.routing.consumers import Consumer, connect_consumer, is_async, null_consumer
from chancelery.routing.including import Include
from chancelery.routing.router import Router, provide
from chancelery.routing.routes import Match, Matchable, Routable, Route, RouteClass

__all__ = [
    "Consumer",
    "Include",
    "Match",
    "Matchable",
    "Routable",
    "Route",
    "RouteClass",
    "Router",
    "connect_consumer",
    "include",
    "is_async",
    "null_consumer",
    "provide",
    "route",
    "route_class",
]

route = Route
route_class = RouteClass
include = Include
