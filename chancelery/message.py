"""What a consumer is given: a message's content, where it came from, and where answers go."""

from __future__ import annotations

import copy
from collections.abc import ItemsView, KeysView, ValuesView
from typing import TYPE_CHECKING, Any

from chancelery.channel import Channel
from chancelery.registry import ChannelLayerWrapper
from chancelery.trail import Trail

if TYPE_CHECKING:
    from chancelery.sessions import ChannelSession


class Message:
    """
    One message. Reads like its content: `message["text"]`; decorators set further attributes on it.

    content: what was sent. channel: where it was received. reply_channel: where the answer goes, or None.
    channel_layer: the layer that it came by. trail: the hops that it took, see `chancelery.trail`. attempt: the
    how-manieth time it is handled, above 1 only on channels of `at_least_once` whose worker died with it.
    """

    channel_session: ChannelSession
    """Set by `chancelery.sessions.channel_session`."""

    accept_deferred = False
    """Whether `defer_accept` was called."""

    def __init__(
        self,
        content: dict[str, Any],
        channel_name: str,
        channel_layer: ChannelLayerWrapper,
        trail: Trail = (),
        attempt: int = 1,
    ) -> None:
        self.content = content
        self.channel_layer = channel_layer
        self.trail = trail
        self.attempt = attempt
        self.channel = Channel(channel_name, channel_layer=channel_layer)
        reply_channel = content.get("reply_channel")
        self.reply_channel = Channel(reply_channel, channel_layer=channel_layer) if reply_channel else None

    def defer_accept(self) -> None:
        """Let a connecting socket wait for an `accept` that comes later, after this consumer has returned."""
        self.accept_deferred = True

    def copy(self) -> Message:
        """Return a copy whose content can be changed without changing this one's."""
        content = copy.deepcopy(self.content)
        return type(self)(content, self.channel.name, self.channel_layer, self.trail, self.attempt)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the content's *key*, or *default*."""
        return self.content.get(key, default)

    def keys(self) -> KeysView[str]:
        """Return the content's keys."""
        return self.content.keys()

    def values(self) -> ValuesView[Any]:
        """Return the content's values."""
        return self.content.values()

    def items(self) -> ItemsView[str, Any]:
        """Return the content's items."""
        return self.content.items()

    def __getitem__(self, key: str) -> Any:
        return self.content[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.content[key] = value

    def __contains__(self, key: object) -> bool:
        return key in self.content

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.channel.name!r}>"
