"""
Consumers for websockets: one class has what happens when a socket connects, says something, and goes.

A socket that `connect` says nothing to is accepted when it returns, and turned away when it raises.
"""

from chancelery.generic.websockets.consumer import WebsocketConsumer
from chancelery.generic.websockets.demultiplexer import WebsocketDemultiplexer
from chancelery.generic.websockets.json_consumer import JsonWebsocketConsumer
from chancelery.generic.websockets.multiplexer import WebsocketMultiplexer

__all__ = ["JsonWebsocketConsumer", "WebsocketConsumer", "WebsocketDemultiplexer", "WebsocketMultiplexer"]
