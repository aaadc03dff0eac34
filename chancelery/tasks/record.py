"""
What Redis keeps of a job, and the scripts that change it.

Everything under the prefix of jobs is described in `scripts/jobs.lua`. The client is given, so that Celery's result
backend and its job records are one connection to one server. Every call here may be repeated after a lost answer: what
took place already does not take place again.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from chancelery import trail
from chancelery.deployment import scripts
from chancelery.exceptions import UnknownJob
from chancelery.layers import codec
from chancelery.layers.codec import Envelope
from chancelery.layers.redis.keys import COMMON
from chancelery.tasks.canvas import Member, Prepared, final_ids
from chancelery.tasks.events import Event, Result
from chancelery.tasks.replies import Reply
from chancelery.trail import Hop

VERSION = 1
_PACKAGE = "chancelery.tasks.scripts"
_SHARED = (*COMMON, (_PACKAGE, "waiting.lua"), (_PACKAGE, "jobs.lua"))
_RECORD = scripts.load(*_SHARED, (_PACKAGE, "attach.lua"), (_PACKAGE, "record.lua"))
_SETTLE = scripts.load(*_SHARED, (_PACKAGE, "settle.lua"))
_EVENT = scripts.load(*_SHARED, (_PACKAGE, "event.lua"))
_FINISH = scripts.load(*_SHARED, (_PACKAGE, "finish.lua"))


def loaded(*names: str) -> scripts.Script:
    """Return the script of jobs that stands in the last of these files, and uses what is in those before it."""
    return scripts.load(*_SHARED, *((_PACKAGE, name) for name in names))


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed on when the job was recorded; the scripts read it, and it never changes."""

    style: str
    """`events` or `message`."""
    replies: list[Reply]
    queued: bool
    """Whether an ordinary channel is among them."""
    trail: tuple[Hop, ...]
    of: int
    """The number of the job's tasks."""
    grouped: bool
    """Whether the results of several tasks, together, are the job's."""
    alias: str
    """The layer that the message came by."""
    layer: str
    """The prefix of the layer that events go out by; the rest are its limits."""
    message_ms: int
    capacity: int
    process_capacity: int
    max_bytes: int
    keep: int
    """How many events are kept."""
    open_seconds: int
    ended_seconds: int
    owner: str = ""
    """`user:<pk>`, or an empty string when no user is known."""
    asker: str = ""
    """The reply channel of the message that the job came from, or an empty string."""
    watched: bool = False
    """Whether that is a socket's, of which is known when it has gone."""
    leave_ms: int = -1
    """How long it goes on when its sockets have gone: -1 for ever, 0 not at all."""
    dedupe: str = ""
    """What its `dedupe` is called here, or an empty string."""
    limit: str = ""
    """The key under which only so many jobs run at a time, or an empty string."""
    most: int = 0
    """How many."""
    eta_ms: int = 0
    """When its first tasks were to begin, if they wait for that in Redis; else 0."""


class Running(NamedTuple):
    """A job as its tasks need it."""

    state: str
    terms: Terms
    origin: Envelope
    """The message that the job came from, with the job's trail."""


class Told(NamedTuple):
    """An event as it is kept."""

    kind: str
    data: Any
    at: datetime
    process: str
    """Host and process id of whoever told it, `host:pid`."""


class Settled(NamedTuple):
    """What a task's outcome did to its job."""

    ended: str
    """The kind of the event that ended the job just now, or an empty string."""
    fault: str
    """Why the result could not be sent, or an empty string."""
    refused: int
    """How many addresses had no room for the event."""


_encode = msgspec.msgpack.Encoder().encode
_decode_terms = msgspec.msgpack.Decoder(tuple[int, Terms]).decode


class Records:
    """The records of jobs on one server. client: redis-py's; prefix: what their keys begin with."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def record(
        self,
        job_id: str,
        prepared: Prepared,
        *,
        terms: Terms,
        origin: bytes,
        accepted: Event,
        expiry_seconds: int,
        claim: str = "",
    ) -> str:
        """
        Record a job and tell that it was accepted, in one step. Recorded already, it stays as it is.

        Returns its id; or that of a job which goes on under the same `dedupe`, and tells this one's addresses, too.

        origin: the message that the job came from, an envelope of `chancelery.layers.codec`. claim: for the socket that
        it is of, and nobody else.
        """
        finals = set(final_ids(prepared.finals))
        members = (part for member in prepared.members for part in _described(member, finals))
        head = (_encode((VERSION, terms)), _encode(prepared.finals), len(finals), origin)
        told = (accepted.json, accepted.packed, accepted.sender, trail.process_label(), claim)
        answer = _RECORD(self._client, [self._key(job_id)], [*head, expiry_seconds, *told, *members])
        return answer.decode() if isinstance(answer, bytes) else job_id

    def settle(self, job_id: str, stored: Sequence[Any], told: Event | Result | None) -> Settled | None:
        """
        Store what Celery keeps of a task and let its job follow, in one step.

        stored: Celery's key, the task's id, the change, the attempt, Celery's value, seconds that it is kept.
        Returns None when there is no such job or the task is none of its; nothing was stored then.
        """
        key, *what = stored
        args = [*what, trail.process_label()]
        if isinstance(told, Event):
            args += (told.kind, told.json, told.packed)
        elif told is not None:
            args += (told.json, told.packed, "1" if told.is_message else "0", told.reference)
        answer = _SETTLE(self._client, [self._key(job_id), key], args)
        return Settled(answer[0].decode(), answer[1].decode(), answer[2]) if answer != -1 else None

    def tell(self, job_id: str, event: Event, task_id: str = "", attempt: int = 0, number: int = 0) -> str:
        """Tell of *event*, a chunk or progress, and return the job's state. Raises: UnknownJob."""
        told = (event.kind, event.json, event.packed, event.sender, trail.process_label())
        return self._state(job_id, _EVENT(self._client, [self._key(job_id)], [*told, task_id, attempt, number]))

    def finish(self, job_id: str, event: Event) -> str:
        """End the job with *event* unless it has ended, and return the state that it had. Raises: UnknownJob."""
        told = (event.kind, event.json, event.packed, event.sender, trail.process_label())
        return self._state(job_id, _FINISH(self._client, [self._key(job_id)], told))

    def state(self, job_id: str) -> str:
        """Return the job's state: accepted, started, or the kind of the event that ended it. Raises: UnknownJob."""
        return self._state(job_id, self._client.hget(self._key(job_id), "state"))

    def running(self, job_id: str) -> Running:
        """Return what the job's tasks need of it. Raises: UnknownJob."""
        state, terms, origin = self._client.hmget(self._key(job_id), "state", "terms", "message")
        name = self._state(job_id, state)
        return Running(name, _decode_terms(terms)[1], codec.unpack(origin))

    def events(self, job_id: str, last: int | None = None) -> list[tuple[int, str, bytes]]:
        """Return (seq, kind, JSON) of the events that are kept, oldest first; of the *last* ones only."""
        found = self._client.xrevrange(f"{self._key(job_id)}:events", count=last)
        return [(int(entry.split(b"-")[0]), fields[b"kind"].decode(), fields[b"data"]) for entry, fields in found[::-1]]

    def history(self, job_id: str) -> list[Told]:
        """Return the events that are kept, oldest first, with who told them and when."""
        found = self._client.xrange(f"{self._key(job_id)}:events")
        return [_told(fields) for _, fields in found]

    def run(self, script: scripts.Script, name: str, args: Sequence[Any]) -> Any:
        """Run a script on what is called *name* under the prefix of jobs."""
        return script(self._client, [self._prefix + name], args)

    def waits(self, name: str, seconds: float) -> bool:
        """Wait for a token on the bell called *name* under the prefix of jobs; tell whether there was one."""
        return self._client.blpop([self._prefix + name], seconds) is not None

    def _key(self, job_id: str) -> str:
        return f"{self._prefix}job:{job_id}"

    def _state(self, job_id: str, state: bytes | None) -> str:
        if state is None:
            raise no_record(job_id)
        return state.decode()


def no_record(job_id: str) -> UnknownJob:
    """Return what is raised when there is no record of a job."""
    return UnknownJob(
        f"there is no record of the job {job_id}: it waits for its transaction's commit or was rolled back, "
        f"its record has expired, or there never was one"
    )


def _told(fields: dict[bytes, bytes]) -> Told:
    at = datetime.fromtimestamp(int(fields[b"at"]) / 1000, UTC)
    return Told(fields[b"kind"].decode(), json.loads(fields[b"data"]), at, fields.get(b"process", b"").decode())


def _described(member: Member, finals: set[str]) -> tuple[str, str, str]:
    return member.id, "1" if member.id in finals else "0", member.name
