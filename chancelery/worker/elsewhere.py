"""What a consumer sent on another layer than the one that its message came by: it goes out on its own."""

from __future__ import annotations

from chancelery import outbox
from chancelery.exceptions import ChanceleryError, ChannelFull, LayerUnavailable
from chancelery.layers.base import ChannelLayer, Send
from chancelery.log import room
from chancelery.registry import channel_layers
from chancelery.worker.tally import Tally

_log = room("worker")


def post_elsewhere(alias: str, send: Send) -> None:
    """Send on the layer behind *alias*; what cannot be sent is logged and counted there. May wait for room."""
    layer = channel_layers[alias].layer
    try:
        outbox.post(layer, send)
    except ChanceleryError as error:
        _log.error("a message to %s on the layer %r was not sent: %s", send.address, alias, error)
        _count(layer, error)


def _count(layer: ChannelLayer, error: ChanceleryError) -> None:
    tally = Tally(layer)
    if isinstance(error, ChannelFull):
        tally.add("no_room")
    elif isinstance(error, LayerUnavailable):
        tally.add("unknown")
    tally.tell()
