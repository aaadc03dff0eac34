"""
What Redis keeps of a job, and the scripts that change it.

Everything under the prefix of jobs is described in `scripts/jobs.lua`. The client is given, so that Celery's result
backend and its job records are one connection to one server. Every call here may be repeated after a lost answer: what
took place already does not take place again.
"""

from __future__ import annotations

import functools
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from chancelery import trail
from chancelery.deployment import scripts, wire
from chancelery.exceptions import UnknownJob
from chancelery.layers import codec
from chancelery.layers.codec import Envelope
from chancelery.layers.redis.keys import COMMON
from chancelery.tasks.canvas import Member, Prepared, final_ids
from chancelery.tasks.events import Event, Result
from chancelery.tasks.replies import Reply

VERSION = 1
_PACKAGE = "chancelery.tasks.scripts"
_SHARED = (*COMMON, (_PACKAGE, "waiting.lua"), (_PACKAGE, "jobs.lua"))
_OVERALL = (_PACKAGE, "overall.lua")
_OPENING = tuple((_PACKAGE, name) for name in ("keeping.lua", "overdue.lua", "opening.lua"))
_RECORD = scripts.load(*_SHARED, _OVERALL, (_PACKAGE, "attach.lua"), *_OPENING, (_PACKAGE, "record.lua"))
_SETTLING = tuple((_PACKAGE, name) for name in ("apart.lua", "parts.lua", "settle.lua"))
_SETTLE = scripts.load(*_SHARED, _OVERALL, *_OPENING, *_SETTLING, even_full=True)
_EVENT = scripts.load(*_SHARED, _OVERALL, (_PACKAGE, "event.lua"))
_FINISH = scripts.load(*_SHARED, (_PACKAGE, "finish.lua"), even_full=True)
_PUBLISHED = scripts.load((_PACKAGE, "published.lua"), even_full=True)


def loaded(*names: str, even_full: bool = False) -> scripts.Script:
    """Return the script of jobs that stands in the last of these files, and uses what is in those before it."""
    return scripts.load(*_SHARED, *((_PACKAGE, name) for name in names), even_full=even_full)


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What was agreed on when the job was recorded; the scripts read it, and it never changes."""

    style: str
    """`events` or `message`."""
    replies: list[Reply]
    queued: bool
    """Whether an ordinary channel is among them."""
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


LACKS_ADDRESS = Settled("", "", 0)
"""Nothing was settled: first an address is wanted."""

IS_LAST = Settled("", "", 0)
"""Nothing was settled: it is the last part of a chord."""


class Apart(NamedTuple):
    """How results are kept that are too large for a frame."""

    address: str
    """Where it is had; an empty string while nobody has asked."""
    most_bytes: int
    """The largest; 0 when none are kept."""


NOWHERE = Apart("", 0)

_encode = msgspec.msgpack.Encoder().encode
_decode_terms = msgspec.msgpack.Decoder(tuple[int, Terms]).decode


class Records:
    """The records of jobs on one server. client: redis-py's; prefix: what their keys begin with."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._call = functools.partial(wire.call_quickly, client)
        self._prefix = prefix

    def record(
        self,
        job_id: str,
        prepared: Prepared,
        *,
        terms: Terms,
        hops: trail.Trail,
        origin: bytes,
        accepted: Event,
        expiry_seconds: int,
        claim: str = "",
        opening: Sequence[Any] = (),
    ) -> str:
        """
        Record a job, tell that it was accepted and publish its *opening*, in one step. Recorded already, it stays as it
        is, and nothing is published.

        Returns its id; or that of a job which goes on under the same `dedupe`, and tells this one's addresses, too.

        hops: the job's trail. origin: the message that it came from, an envelope of `chancelery.layers.codec`.
        claim: for the socket that it is of, and nobody else. opening: see `scripts/opening.lua`.
        """
        finals = set(final_ids(prepared.finals))
        members = (part for member in prepared.members for part in _described(member, finals))
        head = (_encode((VERSION, terms)), _encode(prepared.finals), len(finals), origin)
        told = (accepted.json, accepted.packed, accepted.sender, trail.process_label(), claim)
        opens = _encode(opening) if opening else b""
        args = [*head, expiry_seconds, *told, opens, _beginning(hops), *members]
        answer = _RECORD.run(self._call, [self._key(job_id)], args)
        return answer.decode() if isinstance(answer, bytes) else job_id

    def published(self, job_id: str) -> None:
        """Note that the rest of what a job begins with is published, too."""
        _PUBLISHED.run(self._call, [self._key(job_id)], [])

    def settle(
        self,
        job_id: str,
        stored: Sequence[Any],
        told: Event | Result | None,
        apart: Apart = NOWHERE,
        *,
        has_begun: bool = False,
        opening: Sequence[Any] = (),
        part: Sequence[Any] = (),
    ) -> Settled | None:
        """
        Store what Celery keeps of a task and let its job follow, in one step.

        stored: Celery's key, the task's id, the change, the attempt, Celery's value, seconds that it is kept.
        has_begun: whether it is the task itself that says so, whose job has started if nobody has said it yet.
        opening: what is published once the task is done, as in `record`. part: of a chord, see `scripts/parts.lua`.
        Returns None when there is no such job or the task is none of its; LACKS_ADDRESS when a result is to be kept
        apart, but *apart* does not say at which address; IS_LAST for the last part of a chord. Nothing was stored then.
        """
        key, *what = stored
        args = [*what, trail.process_label(), "1" if has_begun else "0"]
        if isinstance(told, Event):
            args += (told.kind, told.json, told.packed)
        elif told is not None:
            args += (told.json, told.packed, "1" if told.is_message else "0", told.reference, *apart)
            args += (_encode(opening) if opening else b"", _encode(part) if part else b"")
        answer = _SETTLE.run(self._call, [self._key(job_id), key], args)
        if answer == b"address":
            return LACKS_ADDRESS
        if answer == b"last":
            return IS_LAST
        return Settled(answer[0].decode(), answer[1].decode(), answer[2]) if answer != -1 else None

    def tell(self, job_id: str, event: Event, task_id: str = "", attempt: int = 0, number: int = 0) -> str:
        """Tell of *event*, a chunk or progress, and return the job's state. Raises: UnknownJob."""
        told = (event.kind, event.json, event.packed, event.sender, trail.process_label())
        fraction = "" if event.fraction is None else f"{event.fraction:.6f}"
        args = [*told, task_id, attempt, number, fraction]
        return self._state(job_id, _EVENT.run(self._call, [self._key(job_id)], args))

    def finish(self, job_id: str, event: Event) -> str:
        """End the job with *event* unless it has ended, and return the state that it had. Raises: UnknownJob."""
        told = (event.kind, event.json, event.packed, event.sender, trail.process_label())
        return self._state(job_id, _FINISH.run(self._call, [self._key(job_id)], told))

    def state(self, job_id: str) -> str:
        """Return the job's state: accepted, started, or the kind of the event that ended it. Raises: UnknownJob."""
        return self._state(job_id, self._call("HGET", self._key(job_id), "state"))

    def running(self, job_id: str) -> Running:
        """Return what the job's tasks need of it. Raises: UnknownJob."""
        state, terms, origin = self._call("HMGET", self._key(job_id), "state", "terms", "message")
        if state is None:
            raise no_record(job_id)
        return read_running(state, terms, origin)

    def events(self, job_id: str, last: int | None = None) -> list[dict[str, Any]]:
        """Return the events that are kept, as sockets are told them, oldest first; of the *last* ones only."""
        found = self._client.xrevrange(f"{self._key(job_id)}:events", count=last)
        return [_event(job_id, entry, fields) for entry, fields in found[::-1]]

    def kept_apart(self, job_id: str) -> bytes | None:
        """Return the job's result as JSON if it was too large for a frame, and is kept still."""
        found: bytes | None = self._client.get(f"{self._key(job_id)}:result")
        return found

    def history(self, job_id: str) -> list[Told]:
        """Return the events that are kept, oldest first, with who told them and when."""
        found = self._client.xrange(f"{self._key(job_id)}:events")
        return [_told(fields) for _, fields in found]

    def run(self, script: scripts.Script, name: str, args: Sequence[Any]) -> Any:
        """Run a script on what is called *name* under the prefix of jobs."""
        return script.run(self._call, [self._prefix + name], args)

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


def read_running(state: bytes, terms: bytes, message: bytes) -> Running:
    """Return these fields of a record as what they say."""
    return Running(state.decode(), _decode_terms(terms)[1], codec.unpack(message))


def _beginning(hops: trail.Trail) -> bytes:
    """Return a trail as an envelope has it, but for one more hop at its end."""
    kept = trail.before_one_more(hops)
    return struct.pack(">BH", 0xDC, len(kept) + 1) + b"".join(map(_encode, kept))


def _event(job_id: str, entry: bytes, fields: dict[bytes, bytes]) -> dict[str, Any]:
    said = json.loads(b'{"data":%b%b}' % (fields[b"data"], fields.get(b"apart", b"")))
    return {"job": job_id, "seq": int(entry.split(b"-")[0]), "kind": fields[b"kind"].decode(), **said}


def _told(fields: dict[bytes, bytes]) -> Told:
    at = datetime.fromtimestamp(int(fields[b"at"]) / 1000, UTC)
    return Told(fields[b"kind"].decode(), json.loads(fields[b"data"]), at, fields.get(b"process", b"").decode())


def _described(member: Member, finals: set[str]) -> tuple[str, str, str]:
    place = f"{member.parent} {member.position} {member.share:.6g} {member.name}"
    return member.id, "1" if member.id in finals else "0", place
