"""
Channels and groups, as consumers, views and tasks see them.

Inside a consumer sends are held until it has ended; memberships change at once. A message is packed where it is sent:
what happens to the dict afterwards changes nothing, and what cannot be sent is a TypeError there.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from chancelery import names, outbox, trail
from chancelery.layers.base import Coalesce, Send
from chancelery.moments import moment_ms, span_ms
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from chancelery.types import RETRIES, Content


class _Address:
    """A name that can be sent to, on one layer."""

    def __init__(self, name: str, layer: ChannelLayerWrapper) -> None:
        self.name = name
        self.channel_layer = layer

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"

    def send(
        self,
        content: Content,
        immediately: bool = False,  # noqa: FBT001, FBT002 - Channels 1's signature
        *,
        delay: float | timedelta | None = None,
        eta: datetime | None = None,
        latest_of: str | None = None,
        every: float | timedelta | None = None,
        kind: str = "",
    ) -> None:
        """
        Send *content*: when the running consumer has ended, or now, outside of consumers and with *immediately*.

        delay, eta: it goes out so many seconds later, or at that moment.
        latest_of, every: of what is sent here with the same text *latest_of*, one goes out at most *every* so many
            seconds: the first at once, and then of those that came meanwhile the latest. The last one always goes out.
            One of another *kind* never replaces one that waits; that goes out before it.

        Raises: TypeError for what is no plain dict (a group: ValueError when it is no dict at all), TypeError and
        ValueError for times that make no sense; MessageTooLarge. Now: ChannelFull when there was no room for
        `capacity_wait` seconds, which a group raises for messages that wait for their time only; LayerUnavailable.
        """
        if isinstance(content, dict) and RETRIES in content:  # who sends a message on does not count for the next one
            content = {key: value for key, value in content.items() if key != RETRIES}
        send = self._packed(content)
        if delay is not None or eta is not None or latest_of is not None or every is not None or kind:
            send = _timed(send, delay=delay, eta=eta, latest_of=latest_of, every=every, kind=kind)
        self._dispatch(send, immediately)

    def _packed(self, content: Content) -> Send:
        """Return *content* as it goes out here."""
        raise NotImplementedError

    def _dispatch(self, send: Send, immediately: bool) -> None:  # noqa: FBT001 - the public calls have its name
        box = outbox.current()
        if box is not None and not immediately:
            box.add(self.channel_layer.alias, send)
            return
        outbox.post(self.channel_layer.layer, send)
        if box is not None:
            box.note_sent(send)


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

    def _packed(self, content: Content) -> Send:
        body = self.channel_layer.layer.pack(content, trail.onward(self.name))
        return Send(self.name, body, self._lane(content))

    def _lane(self, content: Content) -> str:
        """Messages of one connection stay in order on their way to consumers, whoever sends them on."""
        reply_channel = content.get("reply_channel")
        if not isinstance(reply_channel, str) or "!" in self.name or "?" in self.name:
            return ""
        return self.channel_layer.layer.lane(reply_channel)


class Group(_Address):
    """
    A set of channels: what is sent to it goes to each of them. A member that has no room is passed over, and counted.

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

    def _packed(self, content: Content) -> Send:
        if not isinstance(content, dict):
            raise ValueError(f"a message to a group is a dict, not {type(content).__name__}")  # noqa: TRY004 - Channels 1
        body = self.channel_layer.layer.pack(content, trail.onward(self.name))
        return Send(self.name, body, to_group=True)


def _timed(
    send: Send,
    *,
    delay: float | timedelta | None,
    eta: datetime | None,
    latest_of: str | None,
    every: float | timedelta | None,
    kind: str,
) -> Send:
    if (delay is not None) + (eta is not None) + (latest_of is not None) > 1:
        raise ValueError("delay, eta and latest_of each say when a message goes out: pass one of them")
    if latest_of is not None:
        return send._replace(coalesce=_coalesce(send, latest_of, every, kind))
    if every is not None or kind:
        raise ValueError("every and kind go with latest_of: pass what the latest message is to go out of, too")
    if eta is not None:
        return send._replace(due_ms=moment_ms("eta", eta))
    return send if delay is None else send._replace(delay_ms=span_ms("delay", delay))


def _coalesce(send: Send, latest_of: str, every: float | timedelta | None, kind: str) -> Coalesce:
    if every is None:
        raise ValueError("latest_of goes with every: pass how many seconds lie between two messages, too")
    every_ms = span_ms("every", every)
    if every_ms == 0:
        raise ValueError(f"every={every!r} is no time at all: pass more than 0 seconds")
    place = "group" if send.to_group else "channel"
    return Coalesce(f"{place}:{send.address}:{_storable('latest_of', latest_of)}", every_ms, _storable("kind", kind))


def _storable(name: str, value: str) -> str:
    try:
        value.encode()
    except (AttributeError, UnicodeEncodeError) as error:
        raise TypeError(f"{name} is a text, not {value!r}") from error
    return value


def _name(channel: Channel | str) -> str:
    return channel.name if isinstance(channel, Channel) else names.require_channel(channel)


def _text(name: str | bytes) -> str:
    """Return *name* as text; bytes that are not ASCII become something that the check of names refuses."""
    return name.decode("ascii", "backslashreplace") if isinstance(name, bytes) else name
