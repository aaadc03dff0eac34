"""Waits for one message on a single-reader channel, on behalf of a request that is being handled."""

from __future__ import annotations

import time
from typing import Final

from chancelery.layers.base import ChannelLayer
from chancelery.types import Content

_LONGEST_WAIT: Final = 5.0
"""How long the layer may be asked to wait at a time: its server's answers are not waited for much longer."""


def receive_within(seconds: float, layer: ChannelLayer, channel: str) -> Content | None:
    """Return the next message on *channel*, or None when there was none for *seconds*. Raises: LayerUnavailable."""
    give_up_at = time.monotonic() + seconds
    while True:
        _, content = layer.receive([channel])
        left = give_up_at - time.monotonic()
        if content is not None or left <= 0:
            return content
        layer.wait([channel], min(left, _LONGEST_WAIT))
