"""
Sockets, workers and Celery canvases for Django, on one Redis.

These are the names that consumers and routings need. Importing them reads no settings, so that a settings module may
import from `chancelery.deployment`.
"""

from importlib.metadata import version

from chancelery.channel import Channel, Group
from chancelery.registry import DEFAULT_CHANNEL_LAYER, channel_layers
from chancelery.routing import include, route, route_class

__all__ = ["DEFAULT_CHANNEL_LAYER", "Channel", "Group", "channel_layers", "include", "route", "route_class"]
__version__ = version("chancelery")
