"""What a consumer is given: a message's content, where it came from, and where answers go."""

from __future__ import annotations

import copy
from collections.abc import ItemsView, KeysView, ValuesView
from typing import TYPE_CHECKING, Any

from chancelery import outbox
from chancelery.channel import Channel, Group
from chancelery.exceptions import ChanceleryError
from chancelery.layers.base import Send
from chancelery.registry import ChannelLayerWrapper, channel_layers
from chancelery.trail import Trail
from chancelery.types import Content

if TYPE_CHECKING:
    from django.contrib.sessions.backends.base import SessionBase

    from chancelery.sessions import ChannelSession


class Message:
    """
    One message. Reads like its content: `message["text"]`; decorators set further attributes on it.

    content: what was sent. channel: where it was received. reply_channel: where the answer goes, or None.
    channel_layer: the layer that it came by. trail: the hops that it took, see `chancelery.trail`. attempt: the
    how-manieth time it is handled, above 1 only on channels of `at_least_once` whose worker died with it.
    __doomed__: whether it is dropped, or its consumer fails, should it ask for the message to be handled again later.
    """

    channel_session: ChannelSession
    """Set by `chancelery.sessions.channel_session`."""
    http_session: SessionBase | None
    """Set by `chancelery.sessions.http_session`."""
    user: Any
    """Set by the decorators of `chancelery.auth`."""

    accept_deferred = False
    """Whether `defer_accept` was called."""

    __doomed__ = False

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
        copied = type(self)(content, self.channel.name, self.channel_layer, self.trail, self.attempt)
        copied.__doomed__ = self.__doomed__
        return copied

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


class PendingMessageStore:
    """
    Channels 1's door to what is held: the outbox of the consumer that is running, or one that `prepare` has opened.

    Each thread and task has its own, and nested ones do not mix.
    """

    @property
    def active(self) -> bool:
        """Whether sends are held."""
        return outbox.current() is not None

    def prepare(self, **_: object) -> None:
        """Hold sends from now on, until `send_and_flush`."""
        _Prepared().__enter__()

    def append(self, sender: Channel | Group, message: Content) -> None:
        """Send *message* to *sender*, which is to say that it is held when sends are."""
        sender.send(message)

    def send_and_flush(self, **_: object) -> None:
        """
        Send all that is held, now, and end what `prepare` has begun.

        Raises: as `Channel.send`, for the first that could not be sent; the others are sent all the same.
        """
        box = outbox.current()
        if box is None:
            return
        if isinstance(box, _Prepared):
            box.__exit__()
        errors = [error for alias, send in box.take() if (error := _error_of(alias, send)) is not None]
        if errors:
            raise errors[0]


class _Prepared(outbox.Outbox):
    """Opened by `prepare`."""

    __slots__ = ()


def _error_of(alias: str, send: Send) -> ChanceleryError | None:
    """Send now; return what kept it from being sent."""
    try:
        outbox.post(channel_layers[alias].layer, send)
    except ChanceleryError as error:
        return error
    return None


pending_message_store = PendingMessageStore()
