"""
kombu's Redis transport, made safe for workers that die, hang or lose their connection.

    CELERY_BROKER_TRANSPORT = "chancelery.tasks.engine.transport:Transport"

Queues and messages are kombu's own, so that processes with either transport understand each other. What differs: idle
workers block on a bell instead of popping messages into a socket, and what a worker holds is in `held.py`. Source:
kombu.transport.redis of 5.7.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from queue import Empty
from time import monotonic, time
from typing import Any

from kombu.transport import redis
from kombu.utils.json import dumps, loads

from chancelery.deployment import scripts
from chancelery.log import room
from chancelery.tasks.engine import fetched
from chancelery.tasks.engine.held import Held
from chancelery.tasks.engine.together import Put, send
from chancelery.tasks.engine.waiting import WaitingChannel

REFRESHES = 6
"""How often a worker says that it holds a message before others would take it for lost."""
_AT_ONCE = 16
"""How many messages are taken, at most, before the worker looks after other things."""
_REPEATED_SECONDS = 90
"""For how long a message is not put on a queue again: longer than Celery tries to publish it."""

_PACKAGE = "chancelery.tasks.engine.scripts"
_PUT = scripts.load((_PACKAGE, "put.lua"))

_log = room("tasks")


class _Bells(redis.Channel):  # type: ignore[misc]
    """What is the same for a server of its own and for one that Sentinels know."""

    QoS = Held

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unacknowledged: set[str] = set()
        self._own_client: Any = None
        super().__init__(*args, **kwargs)

    def basic_consume(self, queue: str, no_ack: bool, *args: Any, **kwargs: Any) -> Any:  # noqa: FBT001 - kombu's
        """Consume from *queue*, and take over what earlier connections left."""
        if no_ack or not self.ack_emulation:
            self._unacknowledged.add(queue)
        consumed = super().basic_consume(queue, no_ack, *args, **kwargs)
        self.refresh_held()
        return consumed

    def refresh_held(self) -> None:
        """Say that what this channel holds is held, if it consumes what has to be acknowledged."""
        if not self._unacknowledged.issuperset(self.active_queues):
            self.qos.refresh()

    def close(self) -> None:
        """Close it; what it holds is the next channel's then, whether Redis answers or not."""
        if isinstance(self._qos, Held):
            self._qos.leave()
        super().close()

    def _next_delivery_tag(self) -> str:
        return secrets.token_hex(16)  # a UUID takes five times as long

    def _inplace_augment_message(self, message: dict[str, Any], exchange: str, routing_key: str) -> None:
        # Celery publishes again, with the same properties, when it got no answer: it has to be the same message then.
        tag = message["properties"].get("delivery_tag")
        super()._inplace_augment_message(message, exchange, routing_key)
        if tag is not None:
            message["properties"]["delivery_tag"] = tag

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        if "_publish_batch" in kwargs:
            super()._put(queue, message, **kwargs)
            return
        send(Put(self, _PUT, *self.entry_of(queue, message)))

    def entry_of(self, queue: str, message: dict[str, Any]) -> tuple[list[str], list[Any]]:
        """Return keys and arguments of `put.lua`."""
        expires = self._expires.get(queue, 0)
        sign = f"{self.global_keyprefix}_chancelery.sent.{message['properties']['delivery_tag']}.{queue}"
        keys = [self._key(queue, self._get_message_priority(message, reverse=False)), self._bell(queue), sign]
        if expires:
            keys += [self._key(queue, step) for step in self.priority_steps]
        return keys, [dumps(message), expires, _REPEATED_SECONDS]

    @contextlib.contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Yield a client that is made once for its pool: kombu makes one, with all its tables, for every command."""
        if client is None and (self._own_client is None or self._own_client.connection_pool is not self.pool):
            self._own_client = self._create_client()
        yield self._own_client if client is None else client

    def _brpop_start(self, timeout: float | None = None) -> None:
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues:
            return
        self._in_poll = self.client.connection
        self._brpop_sent_at = monotonic()
        self._in_poll.send_command("BRPOP", *map(self._bell, queues), timeout or self.brpop_timeout)

    def _brpop_read(self, **options: Any) -> bool:
        try:
            self._heard(**options)
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        more = None if self._closing else self._fetch()
        if more is None:
            raise Empty
        taken = 1
        while more and taken < _AT_ONCE and self.qos.can_consume():
            more = self._fetch()
            taken += 1
        return True

    def _heard(self, **options: Any) -> None:
        """Read the answer to BRPOP: somebody rang, or a second has gone by."""
        connection = self.client.connection
        try:
            self.client.parse_response(connection, "BRPOP", **options)
        except self.connection_errors:
            connection.disconnect()
            raise

    def takes_next(self) -> bool:
        """
        Have Redis know what is done, and deliver the next message, if this worker's loop may have one now.

        Returns whether that was so. It saves a busy worker to wait for a bell, and a round trip.
        """
        if not self.connection.cycle.is_driven or not self.active_queues or not self.qos.can_consume():
            return False
        self._fetch()
        return True

    def _fetch(self) -> bool | None:
        """Take a message and deliver it; return whether there are more, or None when there was none."""
        queues = self._queue_cycle.consume(len(self.active_queues))
        asked = [(queue, self._key(queue, step)) for step in self.priority_steps for queue in queues]
        keys = [key for queue, of_priority in asked for key in (of_priority, self._bell(queue))]
        noted = ["0" if queue in self._unacknowledged else "1" for queue, _ in asked]
        with self.conn_or_acquire() as client:
            found = self.qos.exchange(client, keys, [time(), self.jobs_prefix, *noted])
        if found is None:
            return None
        queue, message = asked[found[0] - 1][0], loads(found[1].decode())
        if queue not in self._unacknowledged:
            self.qos.noted.add(message["properties"]["delivery_tag"])
        fetched.note(message["headers"], *found[3:])
        self._queue_cycle.rotate(queue)
        self.connection._deliver(message, queue)  # noqa: SLF001 - as kombu's own channel does
        return bool(found[2])

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return bool(self._size(queue))  # kombu's own asks EXISTS, and forgets the prefix

    def _do_restore_message(self, payload: Any, exchange: str, routing_key: str, pipe: Any, *args: Any) -> None:
        super()._do_restore_message(payload, exchange, routing_key, pipe, *args)
        if not exchange:
            bell = self._bell_name(routing_key)
            pipe.lpush(bell, "1").pexpire(bell, 60_000)

    def _key(self, queue: str, priority: int) -> str:
        return f"{self.global_keyprefix}{self._q_for_pri(queue, priority)}"

    def _bell(self, queue: str) -> str:
        return f"{self.global_keyprefix}{self._bell_name(queue)}"

    @staticmethod
    def _bell_name(queue: str) -> str:
        return f"_chancelery.{queue}.bell"


class Channel(WaitingChannel, _Bells):
    """For one server."""


class SentinelChannel(WaitingChannel, _Bells, redis.SentinelChannel):  # type: ignore[misc]
    """For whichever server the Sentinels say is the master."""


class _Poller(redis.MultiChannelPoller):  # type: ignore[misc]
    """Waits for what is rung or published; and refreshes what is held, for loops without timers."""

    def __init__(self) -> None:
        super().__init__()
        self._refreshed_at = monotonic()
        self.is_driven = False
        """Whether it is a worker's loop that waits, and acknowledges."""

    def get(self, callback: Any, timeout: float | None = None) -> Any:
        """Deliver what comes within *timeout* seconds."""
        waits = min((channel.visibility_timeout for channel in self._channels), default=0) / REFRESHES
        if monotonic() - self._refreshed_at >= waits:
            self.refresh_held()
        return super().get(callback, timeout)

    def refresh_held(self) -> None:
        """Say that what is held is held; when Redis does not answer, that is done later."""
        self._refreshed_at = monotonic()
        for channel in tuple(self._channels):
            try:
                channel.refresh_held()
            except (*channel.connection_errors, channel.ResponseError) as error:
                _log.warning("what this worker holds could not be refreshed: %s", error)


class Transport(redis.Transport):  # type: ignore[misc]
    """For `redis://` and `rediss://`."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = _Poller()

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have the worker's loop read what comes, and refresh what is held."""
        super().register_with_event_loop(connection, loop)
        self.cycle.is_driven = True
        options = connection.client.transport_options
        timeout = options.get("visibility_timeout", redis.Channel.visibility_timeout)
        loop.call_repeatedly(timeout / REFRESHES, self.cycle.refresh_held)


class SocketTransport(Transport):
    """For `socket:///path?virtual_host=number`, which kombu takes apart when it connects."""

    can_parse_url = True


class SentinelTransport(Transport):
    """For Sentinels."""

    default_port = redis.SentinelTransport.default_port
    Channel = SentinelChannel
