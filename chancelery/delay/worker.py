"""
The delay server: puts what comes on `asgi.delay` into the database, and sends what has become due.

Several may run: each message is stored by one of them, under a lease of the layer, and sent by one of them, under a
claim in the database. Nothing that a message says ends it.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final, TypeAlias

from django.db import DataError, Error, close_old_connections, connections, transaction

from chancelery import names
from chancelery.delay.models import DelayedMessage
from chancelery.exceptions import CorruptMessage, LayerUnavailable, MessageTooLarge
from chancelery.layers.base import Delivery, Finished
from chancelery.log import Burst, room
from chancelery.registry import ChannelLayerWrapper
from chancelery.trail import describe

CHANNEL: Final = "asgi.delay"
_BATCH: Final = 100
_CLAIM_SECONDS: Final = 60.0
_SLICE_SECONDS: Final = 0.5
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 10.0
_LONGEST_MS: Final = 36500 * 86_400_000

_Taken: TypeAlias = tuple[Delivery, DelayedMessage]
_Refused: TypeAlias = tuple[Delivery, str]

_log = room("delay")


class Worker:
    """
    One delay server.

    signal_handlers: whether SIGTERM and SIGINT have `run` end what it has begun and return; the same one again ends the
        process at once.
    database_sleep_duration: seconds between two looks for what is due.
    """

    def __init__(
        self,
        channel_layer: ChannelLayerWrapper,
        signal_handlers: bool = True,  # noqa: FBT001, FBT002 - Channels 1's signature
        database_sleep_duration: float = 1,
    ) -> None:
        self.channel_layer = channel_layer
        self.signal_handlers = signal_handlers
        self.database_sleep_duration = database_sleep_duration
        self._layer = channel_layer.layer
        self._intake = _Intake(channel_layer)
        self._away = Burst(_log)
        self._full = Burst(_log)
        self._sent: list[int] = []
        """Keys of rows that are to be deleted, whatever the database says to that at first."""
        self._stopping = False
        self._look_at = 0.0

    def run(self) -> None:
        """Serve until `stop`; what does not answer, database or layer, is waited for."""
        if self.signal_handlers:
            self._obey_signals()
        pause = _FIRST_PAUSE_SECONDS
        while not self._stopping:
            try:
                self._round()
                pause = _FIRST_PAUSE_SECONDS
            except (LayerUnavailable, Error) as error:
                self._away.say(type(error).__name__, "the delay server waits and tries again: %s", error)
                self._intake.doubt()
                self._pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        self._close()

    def stop(self) -> None:
        """Have `run` end what it has begun and return. May be called from a signal handler."""
        self._stopping = True

    def _round(self) -> None:
        close_old_connections()
        if time.monotonic() >= self._look_at and self._send_due() < _BATCH:
            self._look_at = time.monotonic() + self.database_sleep_duration
        self._intake.take(min(max(self._look_at - time.monotonic(), 0), _SLICE_SECONDS))

    def _send_due(self) -> int:
        """Send what is due, a batch at most, and return how many were claimed for it."""
        self._delete_sent()
        due = DelayedMessage.objects.filter(alias=self.channel_layer.alias).is_due()
        claimed = due.claim(_BATCH, _CLAIM_SECONDS)
        give_up_at = time.monotonic() + _CLAIM_SECONDS / 2
        for position, message in enumerate(claimed):
            if time.monotonic() > give_up_at:
                DelayedMessage.objects.release(claimed[position:])
                break
            try:
                self._send(message)
            except LayerUnavailable:
                DelayedMessage.objects.release(claimed[position:])
                raise
        return len(claimed)

    def _send(self, message: DelayedMessage) -> None:
        try:
            if message.hand_over(self.channel_layer):
                self._sent.append(message.pk)
                self._delete_sent()
            else:
                self._full.say(message.channel_name, 'channel "%s" is full: tried again later', message.channel_name)
        except (CorruptMessage, MessageTooLarge, TypeError, ValueError) as error:
            _log.error("the delayed message %s %s cannot be sent, and is set aside: %s", message.pk, message, error)
            message.set_aside(str(error))

    def _delete_sent(self) -> None:
        if self._sent:
            DelayedMessage.objects.filter(pk__in=self._sent).delete()
            self._sent.clear()

    def _close(self) -> None:
        try:
            self._delete_sent()
            self._intake.close()
        except (LayerUnavailable, Error) as error:
            _log.warning("stopping with something untold, which will be done once more: %s", error)
        connections.close_all()

    def _pause(self, seconds: float) -> None:
        give_up_at = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < give_up_at:
            time.sleep(_SLICE_SECONDS / 10)

    def _obey_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only that one can

        def stop(number: int, _: FrameType | None) -> None:
            signal.signal(number, signal.SIG_DFL)
            self.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)


class _Intake:
    """From the channel into the database. A message is the layer's until its row is committed."""

    def __init__(self, channel_layer: ChannelLayerWrapper) -> None:
        self._alias = channel_layer.alias
        self._layer = channel_layer.layer
        self._lease = ""
        self._stored: list[Finished] = []
        self._doubtful = False

    def take(self, seconds: float) -> None:
        """
        Wait at most *seconds* for something to come, and store it.

        Raises: LayerUnavailable, Error of the database; call `doubt`, then repeat.
        """
        self._settle()
        fetched = self._layer.fetch_when_ready([CHANNEL], _BATCH, self._lease, seconds, begin=0)
        if not fetched.held:
            self._lease = ""
        elif fetched.deliveries:
            self._store(fetched.deliveries)
            self._settle()

    def doubt(self) -> None:
        """After an error: what the layer has handed out meanwhile may not have arrived."""
        self._doubtful = True

    def close(self) -> None:
        """Give back what was not stored."""
        if self._lease:
            self._settle()
            self._layer.close_lease(self._lease)

    def _settle(self) -> None:
        """Tell the layer what is stored. Repeated after an error it does no harm."""
        if not self._lease:
            self._lease, self._stored = self._layer.open_lease(), []
        if self._doubtful:
            self._layer.recover(self._lease, [each.delivery for each in self._stored])
            self._doubtful = False
        if self._stored:
            begun = self._stored[-1].delivery.id
            self._layer.fetch((), 0, self._lease, self._stored, begun=begun)
            self._stored = []

    def _store(self, deliveries: Sequence[Delivery]) -> None:
        rows, refused = self._rows(deliveries)
        try:
            with transaction.atomic():
                DelayedMessage.objects.bulk_create([row for _, row in rows])
        except DataError:  # at least one of them is nothing for this database
            refused += self._store_each(rows)
        self._stored = [Finished(delivery) for delivery in deliveries]
        for delivery, complaint in refused:
            way = describe(delivery.trail)
            _log.error('dropped a message of channel "%s": %s; it came by: %s', CHANNEL, complaint, way)
            self._layer.tally({"bad_delay": 1})

    def _rows(self, deliveries: Sequence[Delivery]) -> tuple[list[_Taken], list[_Refused]]:
        rows: list[_Taken] = []
        refused: list[_Refused] = []
        for delivery in deliveries:
            try:
                rows.append((delivery, _row(delivery, self._alias)))
            except (TypeError, ValueError) as error:
                refused.append((delivery, str(error)))
        return rows, refused

    def _store_each(self, rows: Sequence[_Taken]) -> list[_Refused]:
        refused: list[_Refused] = []
        for delivery, row in rows:
            try:
                with transaction.atomic():
                    row.save(force_insert=True)
            except DataError as error:
                refused.append((delivery, f"the database refuses it: {error}"))
        return refused


def _row(delivery: Delivery, alias: str) -> DelayedMessage:
    """Return what is to be stored. Raises: TypeError, ValueError for what is no such message."""
    content = delivery.content
    to_group = "group" in content
    if to_group == ("channel" in content):
        raise ValueError("it names a channel or a group, one of the two")
    name = (names.require_group if to_group else names.require_channel)(content["group" if to_group else "channel"])
    delay, carried = content.get("delay"), content.get("content")
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= _LONGEST_MS:
        raise ValueError(f"its delay is a number of milliseconds from 0 to {_LONGEST_MS} (100 years), not {delay!r}")
    if not isinstance(carried, dict):
        raise TypeError(f"its content is a dict, not {type(carried).__name__}")
    row = DelayedMessage(channel_name=name, to_group=to_group, alias=alias, delay=delay)
    row.carry(carried, delivery.trail)
    return row
