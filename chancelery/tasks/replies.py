"""
Where the events of a job go: channels and groups, as the job's record carries them.

Sockets (process-local channels) and groups are told everything in text frames; an ordinary channel gets the outcome, as
a message. Knows nothing of jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from chancelery.channel import Channel, Group
from chancelery.layers.redis import keys
from chancelery.message import Message
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from chancelery.tasks.streams import stream_of

NO_ADDRESS: Final = object()
"""As `reply_to`: nobody is told, the outcome stays with the job."""


class Reply(NamedTuple):
    """One address of a job."""

    kind: str
    """`socket` for a process-local channel, `group`, or `queue` for any other channel."""
    name: str
    terms: int
    """Of a channel, when the job was recorded: its capacity and attempts, as `keys.terms` packs them."""
    stream: str = ""
    """Of a socket with a demultiplexer: the stream that it is told on."""


def addresses(message: Message | None, reply_to: Any) -> tuple[ChannelLayerWrapper, list[Reply]]:
    """
    Return the layer and the addresses that *reply_to* names: a Channel, a Group or several; None for *message*'s own.

    Raises: ValueError when there is none, or they are on several layers; TypeError for anything else.
    """
    if reply_to is NO_ADDRESS:
        return (channel_layers[DEFAULT_CHANNEL_LAYER] if message is None else message.channel_layer), []
    targets = _targets(message, reply_to)
    layers = {target.channel_layer.alias: target.channel_layer for target in targets}
    if len(layers) > 1:
        raise ValueError(f"reply_to names channels or groups of several channel layers, {', '.join(layers)}: use one")
    return next(iter(layers.values())), list(dict.fromkeys(_reply(target, message) for target in targets))


def _targets(message: Message | None, reply_to: Any) -> list[Channel | Group]:
    if reply_to is None:
        if message is None or message.reply_channel is None:
            whose = "an escalation without message" if message is None else f"the message on {message.channel.name!r}"
            raise ValueError(
                f"{whose} has no reply channel: say where the outcome shall go, with reply_to=, a Channel, a Group or "
                f"a list of them"
            )
        return [message.reply_channel]
    targets = [reply_to] if isinstance(reply_to, Channel | Group) else _listed(reply_to)
    for target in targets:
        if not isinstance(target, Channel | Group):
            raise TypeError(f"reply_to takes a Channel, a Group or a list of them, not {target!r}")
    if not targets:
        raise ValueError("reply_to is empty: nobody would be told the outcome; name a Channel or a Group")
    return targets


def _listed(reply_to: Any) -> list[Any]:
    return list(reply_to) if isinstance(reply_to, Iterable) and not isinstance(reply_to, str | bytes) else [reply_to]


def _reply(target: Channel | Group, message: Message | None) -> Reply:
    if isinstance(target, Group):
        return Reply("group", target.name, 0)
    kind = "socket" if "!" in target.name else "queue"
    layer = target.channel_layer.layer
    terms = keys.terms(layer.capacity_of(target.name), layer.attempts_of(target.name))
    is_asking = message is not None and message.reply_channel is not None and message.reply_channel.name == target.name
    return Reply(kind, target.name, terms, stream_of(message) if is_asking else "")
