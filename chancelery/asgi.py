"""
The door for protocol servers, and for those who look for Channels 1's names here.

    channel_layer = get_channel_layer()
"""

from __future__ import annotations

import django
from django.apps import apps

from chancelery.exceptions import InvalidChannelLayerError
from chancelery.gateway.application import Gateway
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerManager, ChannelLayerWrapper, channel_layers

__all__ = [
    "ChannelLayerManager",
    "ChannelLayerWrapper",
    "InvalidChannelLayerError",
    "channel_layers",
    "get_channel_layer",
]


_gateways: dict[str, Gateway] = {}


def get_channel_layer(alias: str = DEFAULT_CHANNEL_LAYER) -> Gateway:
    """
    Set Django up, if it is not, and return the layer behind *alias* as an ASGI 3 application.

    It has everything that the layer has; `layer` is the raw one. Raises: InvalidChannelLayerError.
    """
    if not apps.ready:
        django.setup(set_prefix=False)
    wrapper = channel_layers[alias]
    gateway = _gateways.get(alias)
    if gateway is None or gateway.channel_layer is not wrapper:
        gateway = _gateways[alias] = Gateway(wrapper)
    return gateway
