"""
Sockets, workers and Celery canvases for Django, on one Redis.

These are the names that consumers and routings need. Importing them reads no settings, so that a settings module may
import from `chancelery.deployment`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from chancelery.channel import Channel, Group
from chancelery.registry import DEFAULT_CHANNEL_LAYER, channel_layers
from chancelery.routing import include, route, route_class

if TYPE_CHECKING:
    from chancelery.generic import WebsocketDemultiplexer

__all__ = [
    "DEFAULT_CHANNEL_LAYER",
    "Channel",
    "Group",
    "WebsocketDemultiplexer",
    "channel_layers",
    "include",
    "route",
    "route_class",
]
__version__ = version("chancelery")


def __getattr__(name: str) -> Any:
    if name == "WebsocketDemultiplexer":  # imported when it is asked for: most of what imports this package needs none
        return import_module("chancelery.generic").WebsocketDemultiplexer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
