"""One of the servers that a layer lives on: its part of the layer, and whether it is worth asking just now."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from chancelery.deployment import connections
from chancelery.deployment.address import parse
from chancelery.exceptions import LayerUnavailable
from chancelery.layers.redis.layer import RedisChannelLayer
from chancelery.log import Burst, room

_PAUSE_SECONDS = 1.0
_burst = Burst(room("layers.redis"))

Result = TypeVar("Result")


class Shard:
    """A server that did not answer is left alone for a second, so that its timeouts do not hold up the others."""

    def __init__(self, layer: RedisChannelLayer) -> None:
        self.layer = layer
        self.place = "/".join(map(str, parse(layer.url).location))
        """What tells it apart from the others, in the same way for every process and whoever asks."""
        self._away_until = 0.0

    @property
    def away(self) -> bool:
        """Whether it failed to answer a moment ago."""
        return time.monotonic() < self._away_until

    def note_silence(self) -> None:
        """It has not answered."""
        self._away_until = time.monotonic() + _PAUSE_SECONDS

    @contextlib.contextmanager
    def asked(self) -> Iterator[RedisChannelLayer]:
        """Within it, ask the layer. Raises: LayerUnavailable, at once if it was away a moment ago."""
        if self.away:
            shown = connections.without_password(self.layer.url)
            raise LayerUnavailable(f"Redis at {shown} did not answer a moment ago; it is asked again in a second")
        try:
            yield self.layer
        except LayerUnavailable as error:
            self.note_silence()
            _burst.say(self.place, "one of the layer's hosts is away, the others go on: %s", error)
            raise


def from_those_there(shards: Iterable[Shard], ask: Callable[[RedisChannelLayer], Result]) -> list[Result]:
    """Ask every shard; return the answers of those that gave one. Raises: LayerUnavailable when none did."""
    answers: list[Result] = []
    failed: LayerUnavailable | None = None
    for shard in shards:
        try:
            with shard.asked() as layer:
                answers.append(ask(layer))
        except LayerUnavailable as error:
            failed = error
    if not answers and failed is not None:
        raise failed
    return answers


def numbers_of(refused: Iterable[object], sends: Sequence[tuple[int, object]]) -> list[int]:
    """Return the numbers that the *refused* ones of *sends*, in their order, have among them."""
    rest = iter(sends)
    return [next(number for number, send in rest if send is wanted) for wanted in refused]
