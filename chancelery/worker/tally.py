"""What one thread of a worker dropped, by reason, gathered until there is a moment to have the layer count it."""

from __future__ import annotations

import contextlib

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer


class Tally:
    """Counts that the layer has not been told of. For one thread at a time."""

    def __init__(self, layer: ChannelLayer) -> None:
        self._layer = layer
        self._counts: dict[str, int] = {}

    def add(self, reason: str, number: int = 1) -> None:
        """Take note of *number* messages."""
        if number:
            self._counts[reason] = self._counts.get(reason, 0) + number

    def tell(self) -> None:
        """Have the layer count them, at most once: while it does not answer, the log alone has them."""
        if self._counts:
            counts, self._counts = self._counts, {}
            with contextlib.suppress(LayerUnavailable):
                self._layer.tally(counts)
