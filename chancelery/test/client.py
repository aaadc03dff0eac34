"""Somebody who sends messages, has them handled, and receives what is answered."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from chancelery import names, trail
from chancelery.channel import Group
from chancelery.message import Message
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from chancelery.routing import Consumer
from chancelery.test import layers, running
from chancelery.types import Content

_DROPPED = {
    "unrouted": "no route matches it",
    "too_many_retries": "its consumer has asked too often for it to be handled again later",
}


class Client:
    """
    A connection of the layer behind *alias*: what is sent to its reply channel, it receives.

    raise_exceptions: whether what a consumer raises is raised where the test has it run, instead of being logged alone.
    """

    def __init__(self, alias: str = DEFAULT_CHANNEL_LAYER, *, raise_exceptions: bool = True) -> None:
        self.alias = alias
        self.raise_exceptions = raise_exceptions
        self.reply_channel = names.require_channel(f"test.{names.random_part()}!client")

    @property
    def channel_layer(self) -> ChannelLayerWrapper:
        """The layer, as it is at the moment."""
        return channel_layers[self.alias]

    def send(self, to: str, content: Mapping[str, Any] | None = None) -> None:
        """Send a copy of *content* to the channel *to*, with this client's reply channel unless it names another."""
        self._post(to, {"reply_channel": self.reply_channel, **copy.deepcopy(dict(content or {}))})

    def consume(self, channel: str, fail_on_none: bool = True) -> Any:  # noqa: FBT001, FBT002 - Channels 1's signature
        """
        Have the next message of *channel* handled as a worker does, and return what its consumer returned.

        fail_on_none: whether it is an error when there is no message, or nobody handles it.
        Raises: AssertionError; what the consumer raised, unless that says what shall happen with the message.
        """
        handled = running.handle_next(self.channel_layer, channel, strictly=self.raise_exceptions)
        if handled is None:
            if fail_on_none:
                raise AssertionError(f'no message on channel "{channel}". {layers.waiting(self.channel_layer.layer)}')
            return None
        if handled.failure is not None and self.raise_exceptions:
            raise handled.failure
        if handled.dropped and fail_on_none:
            reason = _DROPPED.get(handled.dropped, handled.dropped)
            raise AssertionError(f'a message of channel "{channel}" was dropped: {reason}: {handled.message.content!r}')
        return handled.returned

    def send_and_consume(
        self,
        channel: str,
        content: Mapping[str, Any] | None = None,
        fail_on_none: bool = True,  # noqa: FBT001, FBT002 - Channels 1's signature
    ) -> Any:
        """`send`, then `consume`."""
        self.send(channel, content)
        return self.consume(channel, fail_on_none=fail_on_none)

    def receive(self) -> Any:
        """Return the content of the next message to this client, or None."""
        message = self.get_next_message(self.reply_channel)
        return None if message is None else message.content

    def get_next_message(self, channel: str) -> Message | None:
        """Take the next message off *channel*, not handled; None when there is none."""
        return layers.next_message(self.channel_layer, channel)

    def get_consumer_by_channel(self, channel: str) -> Consumer | None:
        """Return the consumer of a message of *channel* that says nothing particular, or None."""
        self.channel_layer.router.check_default()
        found = self.channel_layer.router.match(Message({"text": ""}, channel, self.channel_layer))
        return None if found is None else found[0]

    def join_group(self, group_name: str) -> None:
        """Become a member of a group, at once."""
        Group(group_name, alias=self.alias).add(self.reply_channel)

    def _post(self, to: str, content: Content) -> None:
        layer = self.channel_layer.layer
        reply_channel = content.get("reply_channel")
        lane = layer.lane(reply_channel) if isinstance(reply_channel, str) and "!" not in to and "?" not in to else ""
        layer.send(to, content, lane=lane, trail=trail.onward(to))
