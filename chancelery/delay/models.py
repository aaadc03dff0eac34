"""
A message that waits for its time, as a row.

Whoever claims a row sends it: a conditional UPDATE, which every database gives to one process alone, sqlite too, and
which holds no transaction open while a channel layer is spoken to. A claim runs out, so that what a killed process had
claimed goes out later.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, ClassVar, Self

from django.db import models
from django.utils import timezone

from chancelery import trail
from chancelery.exceptions import ChannelFull
from chancelery.layers import codec
from chancelery.registry import DEFAULT_CHANNEL_LAYER, channel_layers
from chancelery.trail import Trail
from chancelery.types import Content

_SENDER = "chancelery.delay"


class DelayedMessageQuerySet(models.QuerySet["DelayedMessage"]):
    """Messages that wait."""

    def is_due(self) -> Self:
        """Return those whose time has come, without those that were set aside."""
        return self.filter(due_date__lte=timezone.now(), problem="")

    def claim(self, limit: int, seconds: float) -> list[DelayedMessage]:
        """Claim up to *limit* for *seconds*, the first due first, and return them: nobody else gets them meanwhile."""
        now = timezone.now()
        free = self.filter(models.Q(claimed_until=None) | models.Q(claimed_until__lt=now))
        found = list(free.order_by("due_date", "pk").values_list("pk", flat=True)[:limit])
        if not found:
            return []
        token = secrets.token_hex(16)
        free.filter(pk__in=found).update(claim=token, claimed_until=now + timedelta(seconds=seconds))
        return list(self.filter(pk__in=found, claim=token).order_by("due_date", "pk"))

    def release(self, messages: Iterable[DelayedMessage]) -> None:
        """End the claims on *messages*, so that others may send them."""
        for message in messages:
            self.filter(pk=message.pk, claim=message.claim).update(claim="", claimed_until=None)


class DelayedMessage(models.Model):
    """
    A message that goes out at `due_date`.

    Beside the fields it may be made with `content`, a dict, or the text of a JSON object as Channels 1 has it; and with
    `delay`, milliseconds from now, in place of `due_date`.
    """

    due_date = models.DateTimeField(default=timezone.now)
    channel_name = models.CharField(max_length=512)
    """A channel's name, or a group's when `to_group`."""
    to_group = models.BooleanField(default=False)
    alias = models.CharField(max_length=100, default=DEFAULT_CHANNEL_LAYER)
    """Of the channel layer that it goes out on."""
    envelope = models.BinaryField()
    """Content and trail, packed as on a channel: bytes are bytes."""
    claim = models.CharField(max_length=32, default="", blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)
    problem = models.TextField(default="", blank=True)
    """Why it cannot be sent; such a row stays until somebody deletes it, or mends it and empties this."""

    objects = DelayedMessageQuerySet.as_manager()

    class Meta:
        """An explicit label, so that importing the module needs no settings."""

        app_label = "chancelery_delay"
        indexes: ClassVar = [models.Index(fields=["due_date"], name="chancelery_delay_due")]

    def __str__(self) -> str:
        return f"to {self.channel_name} at {self.due_date:%Y-%m-%d %H:%M:%S}"

    @property
    def content(self) -> Content:
        """What is sent. Raises: CorruptMessage when the row holds something else."""
        return codec.unpack(bytes(self.envelope)).content

    @content.setter
    def content(self, content: Content | str) -> None:
        """Raises: TypeError for what no message can carry; ValueError for text that is no JSON."""
        self.carry(json.loads(content) if isinstance(content, str) else content, trail.current())

    @property
    def delay(self) -> int:
        """Milliseconds until it is due; negative when it has been for a while."""
        return round((self.due_date - timezone.now()) / timedelta(milliseconds=1))

    @delay.setter
    def delay(self, milliseconds: float) -> None:
        self.due_date = timezone.now() + timedelta(milliseconds=milliseconds)

    def carry(self, content: Content, way: Trail) -> None:
        """Take *content*, which has come by *way*. Raises: TypeError for what no message can carry."""
        self.envelope = codec.pack(0, "", "", codec.pack_body(content, way))

    def send(self, channel_layer: Any = None, requeue_delay: float = 1000) -> bool:
        """
        Send it on *channel_layer*, by default that of its alias, and delete the row.

        When the channel is full, it is put off by *requeue_delay* milliseconds.

        Returns whether it was sent. Raises: as `hand_over`.
        """
        if not self.hand_over(channel_layer or channel_layers[self.alias], requeue_delay):
            return False
        self.delete()
        return True

    def hand_over(self, channel_layer: Any, requeue_delay: float = 1000) -> bool:
        """
        `send`, for who deletes the row himself.

        Raises: LayerUnavailable, and then it is unknown whether it was sent; CorruptMessage, MessageTooLarge, TypeError
        when it never can be.
        """
        found = codec.unpack(bytes(self.envelope))
        try:
            with trail.following(found.trail, _SENDER):
                self._send(channel_layer, found.content)
        except ChannelFull:
            self.delay = round(requeue_delay)
            self.claim, self.claimed_until = "", None
            self.save(update_fields=["due_date", "claim", "claimed_until"])
            return False
        return True

    def set_aside(self, problem: str) -> None:
        """Keep it from being sent, for the reason *problem*."""
        self.problem, self.claim, self.claimed_until = problem, "", None
        self.save(update_fields=["problem", "claim", "claimed_until"])

    def _send(self, channel_layer: Any, content: Content) -> None:
        way = trail.onward(self.channel_name)
        if self.to_group:
            channel_layer.send_group(self.channel_name, content, trail=way)
            return
        reply_channel = content.get("reply_channel")
        in_order = isinstance(reply_channel, str) and not {"!", "?"} & set(self.channel_name)
        lane = channel_layer.lane(reply_channel) if in_order else ""
        channel_layer.send(self.channel_name, content, lane=lane, trail=way)
