"""
What becomes of jobs when sockets come and go.

What a job says while no socket of its user is open waits among its events, and the user's inbox says so. Jobs that are
not to go on without their socket are ended by what is here.
"""

from __future__ import annotations

import functools
import math

from celery import shared_task
from kombu.exceptions import OperationalError

from chancelery import conf, outbox
from chancelery.exceptions import UnknownJob
from chancelery.log import room
from chancelery.message import Message
from chancelery.tasks import record
from chancelery.tasks.claims import Asking, user_of
from chancelery.tasks.engine import backend
from chancelery.tasks.job import Job
from chancelery.tasks.resume import MISSED, resume

_LISTED = record.loaded("listed.lua")
_LEAVE = record.loaded("leave.lua")
_LAPSED = record.loaded("lapsed.lua")
_UNHEARD = record.loaded("unheard.lua")
_GOODBYES = frozenset({1000, 1001, 1005})
"""The codes of sockets that were closed by who had heard all there was."""

UNHEARD_SECONDS = 90
"""How long it takes, at most, to find a socket dead: pings unanswered, or the lease of its process over."""

_log = room("tasks")


def deliver_inbox(message: Message) -> None:
    """
    Have the socket of *message* told what the jobs of its user have said while no socket of theirs was open.

    What they have told sockets that were found dead soon after is told again. When the consumer has returned, so that a
    connecting socket is accepted before; at once outside of consumers. The jobs go on telling it then. Nothing is done
    for who is not logged in. Raises: LayerUnavailable.
    """
    user = user_of(message)
    if not user.startswith("user:") or message.reply_channel is None:
        return
    deliver = functools.partial(_deliver, message, Asking(message.reply_channel.name, user, is_trusted=False))
    running = outbox.current()
    if running is None:
        deliver()
    else:
        running.defer(deliver)


def listed(name: str) -> list[tuple[str, str, int]]:
    """Return (id, state, seq) of the jobs on a list, the latest first. Raises: LayerUnavailable."""
    engine = backend.current()
    with engine.reporting():
        found = engine.records.run(_LISTED, "", [name])
    return [(job_id.decode(), state.decode(), seq) for job_id, state, seq in found]


def leave(message: Message) -> None:
    """
    End the jobs that were not to go on without the socket of *message*, which has gone, or have them end in a while.

    Raises: LayerUnavailable.
    """
    if message.reply_channel is not None:
        was_dead = message.get("code") not in _GOODBYES
        _end_without(message.reply_channel.name, has_gone=True, was_dead=was_dead)


def end_if_gone(socket: str) -> None:
    """Do what `leave` does if *socket* has gone already: before what it has asked for was recorded."""
    _end_without(socket, has_gone=False)


@shared_task(name="chancelery.tasks.lapse", ignore_result=True)  # type: ignore[untyped-decorator] # Celery has no types
def lapse(job_id: str) -> None:
    """Cancel the job, unless a socket of its owner has come back."""
    engine = backend.current()
    with engine.reporting():
        is_over = engine.records.run(_LAPSED, f"job:{job_id}", [])
    if is_over:
        _give_up(job_id)


def _deliver(message: Message, asking: Asking) -> None:
    engine = backend.current()
    with engine.reporting():
        engine.records.run(_UNHEARD, "", [asking.user, UNHEARD_SECONDS * 1000])
    for job_id, _, _ in reversed(listed(f"inbox:{asking.user}")):
        resume(message, job_id, asking, MISSED)


def _end_without(socket: str, *, has_gone: bool, was_dead: bool = False) -> None:
    engine = backend.current()
    remembered = math.ceil(conf.current().job_result_expiry) if was_dead else 0
    with engine.reporting():
        found = engine.records.run(_LEAVE, "", [socket, "1" if has_gone else "0", remembered])
    for job_id, wait_ms in found:
        if wait_ms:
            _lapse_later(job_id.decode(), wait_ms / 1000)
        else:
            _give_up(job_id.decode())


def _lapse_later(job_id: str, seconds: float) -> None:
    try:
        with backend.unwatched():
            lapse.apply_async((job_id,), countdown=seconds)
    except OperationalError as error:
        _log.warning("job %s goes on although its socket has gone: Celery's broker did not answer (%s)", job_id, error)


def _give_up(job_id: str) -> None:
    try:
        Job(job_id).cancel("disconnected")
    except UnknownJob as error:
        _log.debug("%s", error)
