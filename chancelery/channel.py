"""
Channels and groups, as consumers, views and tasks see them.

Inside a consumer sends are held until it has ended; memberships change at once. A message is packed where it is sent:
what happens to the dict afterwards changes nothing, and what cannot be sent is a TypeError there.
"""

from __future__ import annotations

from chancelery import names, outbox, trail
from chancelery.layers.base import Send
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from chancelery.types import Content


class _Address:
    """A name that can be sent to, on one layer."""

    def __init__(self, name: str, layer: ChannelLayerWrapper) -> None:
        self.name = name
        self.channel_layer = layer

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def _dispatch(self, send: Send, immediately: bool) -> None:  # noqa: FBT001 - the public calls have its name
        box = outbox.current()
        if box is not None and not immediately:
            box.add(self.channel_layer.alias, send)
            return
        outbox.post(self.channel_layer.layer, send)
        if box is not None:
            box.at_once.add(self.name)


class Channel(_Address):
    """
    A channel: what is sent to it is handed to one consumer, or to one socket.

    Raises: TypeError for a name that no channel can have; InvalidChannelLayerError for an unknown alias.
    """

    def __init__(
        self,
        name: str | bytes,
        alias: str = DEFAULT_CHANNEL_LAYER,
        channel_layer: ChannelLayerWrapper | None = None,
    ) -> None:
        super().__init__(names.require_channel(_text(name)), channel_layer or channel_layers[alias])

    def send(self, content: Content, immediately: bool = False) -> None:  # noqa: FBT001, FBT002 - Channels 1's signature
        """
        Send *content*: when the running consumer has ended, or now, outside of consumers and with *immediately*.

        Raises: TypeError for what is no plain dict; MessageTooLarge. Now: ChannelFull when there was no room for
        `capacity_wait` seconds; LayerUnavailable.
        """
        layer = self.channel_layer.layer
        body = layer.pack(content, trail.onward(self.name))
        self._dispatch(Send(self.name, body, self._lane(content)), immediately)

    def _lane(self, content: Content) -> str:
        """Messages of one connection stay in order on their way to consumers, whoever sends them on."""
        reply_channel = content.get("reply_channel")
        if not isinstance(reply_channel, str) or "!" in self.name or "?" in self.name:
            return ""
        return self.channel_layer.layer.lane(reply_channel)


class Group(_Address):
    """
    A set of channels: what is sent to it goes to each of them.

    Raises: TypeError for a name that no group can have; InvalidChannelLayerError for an unknown alias.
    """

    def __init__(
        self,
        name: str | bytes,
        alias: str = DEFAULT_CHANNEL_LAYER,
        channel_layer: ChannelLayerWrapper | None = None,
    ) -> None:
        super().__init__(names.require_group(_text(name)), channel_layer or channel_layers[alias])

    def add(self, channel: Channel | str) -> None:
        """Make *channel* a member, at once. Raises: LayerUnavailable."""
        self.channel_layer.layer.group_add(self.name, _name(channel))

    def discard(self, channel: Channel | str) -> None:
        """End *channel*'s membership, at once; it is no error when there is none. Raises: LayerUnavailable."""
        self.channel_layer.layer.group_discard(self.name, _name(channel))

    def send(self, content: Content, immediately: bool = False) -> None:  # noqa: FBT001, FBT002 - Channels 1's signature
        """
        Send *content* to every member, as `Channel.send`. A member that has no room is passed over, and counted.

        Raises: ValueError when *content* is no dict; otherwise as `Channel.send`, but never ChannelFull.
        """
        if not isinstance(content, dict):
            raise ValueError(f"a message to a group is a dict, not {type(content).__name__}")  # noqa: TRY004 - Channels 1
        body = self.channel_layer.layer.pack(content, trail.onward(self.name))
        self._dispatch(Send(self.name, body, to_group=True), immediately)


def _name(channel: Channel | str) -> str:
    return channel.name if isinstance(channel, Channel) else names.require_channel(channel)


def _text(name: str | bytes) -> str:
    """Return *name* as text; bytes that are not ASCII become something that the check of names refuses."""
    return name.decode("ascii", "backslashreplace") if isinstance(name, bytes) else name
