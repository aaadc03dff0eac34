"""
From a message and a canvas to a job: recorded first, then published, so that nothing ends before it is known.

What a consumer escalates waits until it has returned, and for the commit of its transactions; rolled back, or after an
exception, there is no job.
"""

from __future__ import annotations

import functools
import math
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from celery import current_app
from django.core.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError

from chancelery import conf, trail
from chancelery.deployment.address import parse
from chancelery.exceptions import EscalationFailed, LayerUnavailable, UnsupportedFeature
from chancelery.layers import codec
from chancelery.layers.redis import RedisChannelLayer
from chancelery.log import room
from chancelery.message import Message
from chancelery.registry import ChannelLayerWrapper
from chancelery.tasks import events, inbox, quotas, times
from chancelery.tasks.canvas import Prepared, final_task, prepare
from chancelery.tasks.claims import claim_to, is_of_socket, owner_of
from chancelery.tasks.committed import afterwards
from chancelery.tasks.dedupe import pointer
from chancelery.tasks.engine import backend, templates, waiting
from chancelery.tasks.engine.backend import JobBackend
from chancelery.tasks.engine.composing import composer
from chancelery.tasks.engine.configuration import look_up
from chancelery.tasks.engine.opening import Opening, collected
from chancelery.tasks.job import Job
from chancelery.tasks.quotas import Limit
from chancelery.tasks.record import Terms
from chancelery.tasks.replies import Reply, addresses

Style = Literal["events", "message"]
OnDisconnect = Literal["detach", "cancel"] | float | timedelta
NO_MESSAGE = "code"
"""The channel of the message that the tasks of a job get which was escalated without one."""

_log = room("tasks")


def escalate(
    message: Message | None,
    canvas: Any,
    *,
    reply_to: Any = None,
    reply: Style | None = None,
    eta: datetime | None = None,
    countdown: float | timedelta | None = None,
    expires: datetime | float | timedelta | None = None,
    on_disconnect: OnDisconnect = "detach",
    dedupe: str | None = None,
    limit: Limit | None = None,
    immediately: bool = False,
) -> Job:
    """
    Have *canvas* run by Celery, and its one outcome sent to whoever asked. Return the job, whose id is known at once.

    message: what the tasks see as theirs; None outside of consumers. canvas: a signature, chain, group or chord; it can
    be escalated again. reply_to: a Channel, a Group or a list of them; by default the message's reply channel.
    reply: `events` for everything that happens, in frames, or `message` for the returned dict alone, as it is; by
    default what the canvas' last task says, see `consumer_task`.
    eta, countdown, expires: when the first tasks may be started, and until when; later they end the job with an error.
    on_disconnect: what happens when the last of its sockets has gone: with `detach` it goes on, with `cancel` it ends,
    with a number of seconds it ends after them, unless a socket is back.
    dedupe: a key; while a job with it goes on, nothing is run, and its events go to this caller's addresses, too. The
    returned job has that one's id from when this one would be published.
    limit: a key, and how many jobs with it may run at a time; the others wait for their turn.
    immediately: do not wait for the consumer's return and the commit of the transactions that are open.

    Raises: TypeError, ValueError for what cannot be escalated; UnsupportedFeature for a layer without Redis;
    ImproperlyConfigured. When it does not wait: EscalationFailed, LayerUnavailable.
    """
    conditions = _Conditions(times.leave_ms(on_disconnect), dedupe, quotas.required(limit))
    escalation = _escalation(message, canvas, reply_to, reply, (eta, countdown, expires), conditions=conditions)
    if immediately:
        escalation.run()
    else:
        afterwards(escalation.run)
    return escalation.job


class _Conditions(NamedTuple):
    """Under which a job runs."""

    leave_ms: int
    dedupe: str | None
    limit: Limit


class _Escalation(NamedTuple):
    """A job that is ready to be recorded and published."""

    job: Job
    job_id: str
    prepared: Prepared
    terms: Terms
    hops: trail.Trail
    origin: bytes
    accepted: events.Event
    expiry_seconds: int
    engine: JobBackend
    claim: str
    """For the socket that asks, if nobody is logged in there."""
    over: set[str]
    """What is done, and is not to be done again."""

    def run(self) -> None:
        """Record and publish the job. Raises: EscalationFailed; LayerUnavailable: then it may be called again."""
        if "publishing" not in self.over and not self._is_published():
            return
        self.over.add("publishing")
        if self.terms.leave_ms >= 0 and self.terms.asker:
            inbox.end_if_gone(self.terms.asker)

    def _is_published(self) -> bool:
        """Record and publish it; false when another one goes on in its place."""
        opens = self._opening()
        if not self._is_recorded(opens):
            return False
        try:
            opens.publish_others()
            if opens.has_others:
                self.engine.records.published(self.job_id)
        except Exception as error:
            self._give_up()
            raise EscalationFailed(_explained(self.job_id, error)) from error
        return True

    def _publish(self, **options: Any) -> None:
        with backend.unwatched(), waiting.held(self.job_id if self.terms.limit else ""):
            self.prepared.canvas.apply_async(**options)

    def _opening(self) -> Opening:
        """Return what the job begins with."""
        if not waiting.collects(current_app):
            opens = Opening()
            opens.later(self._publish)
            return opens
        with collected() as opens:
            app = current_app._get_current_object()  # noqa: SLF001 - Celery's proxy
            producer = composer(app)
            publish = functools.partial(self._publish, producer=producer)
            try:
                if self.terms.limit:
                    publish()
                else:
                    templates.begin(producer, app, self.prepared, opens, publish)
            except Exception as error:  # noqa: BLE001 - whatever a canvas or broker raises: the job ends with it
                opens.fail(error)
        return opens

    def _is_recorded(self, opens: Opening) -> bool:
        """Record the job, with what it begins with; false when another one goes on in its place."""
        first = opens.for_record(self.job_id)
        with self.engine.reporting():
            self.job.id = self.engine.records.record(
                self.job_id,
                self.prepared,
                terms=self.terms,
                hops=self.hops,
                origin=self.origin,
                accepted=self.accepted,
                expiry_seconds=self.expiry_seconds,
                claim=self.claim,
                opening=(self.engine.due.now(), first) if first else (),
            )
        return self.job.id == self.job_id

    def _give_up(self) -> None:
        failed = events.ended("error", "publish_failed", "the task could not be started")
        try:
            with self.engine.reporting():
                self.engine.records.finish(self.job_id, failed._replace(sender=self.accepted.sender))
        except LayerUnavailable as error:
            _log.error("job %s could not be published, and its record not be ended: %s", self.job_id, error)


def _escalation(
    message: Message | None,
    canvas: Any,
    reply_to: Any,
    reply: str | None,
    when: tuple[Any, Any, Any],
    *,
    conditions: _Conditions,
) -> _Escalation:
    if message is not None and not isinstance(message, Message):
        raise TypeError(f"escalate() takes the message first (or None), then the canvas; this is none: {message!r}")
    wrapper, replies = addresses(message, reply_to)
    layer = _layer(wrapper)
    engine = _engine(layer)
    now = datetime.now(UTC)
    begins = times.start(when[0], when[1], now)
    ends = times.deadline(when[2], begins, now)
    job_id = secrets.token_hex(16)
    with backend.unwatched():
        prepared = prepare(canvas, job_id, eta=begins, expires=ends)
    alias = (message.channel_layer if message is not None else wrapper).alias
    terms = _terms(
        layer,
        replies,
        prepared,
        conditions,
        alias=alias,
        style=_style(reply, prepared),
        owner=owner_of(message),
        asker=_asker(message),
        watched=message is not None and is_of_socket(message),
    )
    name, content = (NO_MESSAGE, {}) if message is None else (message.channel.name, message.content)
    hops = trail.onward(f"job.{job_id}")
    origin = codec.pack(0, name, "", codec.pack_body(content, hops))
    accepted = events.accepted(terms.of, begins, hops[-1].sender)
    waits = max((begins - now).total_seconds(), 0) if begins else 0
    expiry_seconds = math.ceil(conf.current().job_expiry + waits)
    claim = claim_to(job_id) if terms.asker and not terms.owner else ""
    return _Escalation(
        Job(job_id), job_id, prepared, terms, hops, origin, accepted, expiry_seconds, engine, claim, set()
    )


def _asker(message: Message | None) -> str:
    return "" if message is None or message.reply_channel is None else message.reply_channel.name


def _layer(wrapper: ChannelLayerWrapper) -> RedisChannelLayer:
    """Return the layer that the outcome goes out by. Raises: UnsupportedFeature when Celery cannot reach it."""
    layer = wrapper.layer
    if not isinstance(layer, RedisChannelLayer):
        raise UnsupportedFeature(
            f"the channel layer {wrapper.alias!r} is a {type(layer).__name__}: jobs need the layer in one Redis, "
            f"where Celery's workers reach it"
        )
    if layer.cipher is not None and not layer.cipher.reads_plain:
        raise UnsupportedFeature(
            f"the channel layer {wrapper.alias!r} takes encrypted messages only, and what a job says is not encrypted: "
            f"add None to its encryption_keys, or do without jobs"
        )
    return layer


def _engine(layer: RedisChannelLayer) -> JobBackend:
    """Return Celery's result backend. Raises: ImproperlyConfigured when jobs cannot be settled there."""
    if look_up(current_app.conf, "task_always_eager"):
        raise ImproperlyConfigured("CELERY_TASK_ALWAYS_EAGER is on: a job needs a Celery worker, turn it off")
    engine = backend.current()
    if _location(layer.url) != engine.location:
        raise ImproperlyConfigured(
            "the channel layer and CELERY_RESULT_BACKEND are in different databases: use one Redis for both, as the "
            "settings of chancelery.deployment.Deployment do"
        )
    return engine


@functools.lru_cache(maxsize=16)
def _location(url: str) -> tuple[str, int | str, int]:
    return parse(url).location


def _style(reply: str | None, prepared: Prepared) -> str:
    name = final_task(prepared)
    style = reply or getattr(current_app.tasks.get(name), "reply_style", "events")
    if style not in {"events", "message"}:
        raise ValueError(f'reply is "events" or "message", not {reply!r}')
    if style == "message" and name is None:
        raise ValueError('reply="message" sends the dict that one last task returns; this canvas ends in a group')
    return style


def _terms(
    layer: RedisChannelLayer,
    replies: list[Reply],
    prepared: Prepared,
    conditions: _Conditions,
    *,
    alias: str,
    **asked: Any,
) -> Terms:
    limits, settings = layer.limits, conf.current()
    return Terms(
        replies=replies,
        queued=any(reply.kind == "queue" for reply in replies),
        of=len(prepared.members),
        grouped=not isinstance(prepared.finals, str),
        alias=alias,
        layer=layer.prefix,
        message_ms=round(limits.expiry * 1000),
        capacity=limits.capacity,
        process_capacity=limits.process_capacity,
        max_bytes=limits.max_message_bytes,
        keep=settings.job_events,
        open_seconds=math.ceil(settings.job_expiry),
        ended_seconds=math.ceil(settings.job_result_expiry),
        leave_ms=conditions.leave_ms,
        dedupe=pointer(conditions.dedupe, alias),
        limit=conditions.limit[0],
        most=conditions.limit[1],
        **asked,
    )


def _explained(job_id: str, error: Exception) -> str:
    if isinstance(error, OperationalError):
        return (
            f"Celery's broker did not answer while job {job_id} was published ({error}): it is unknown which of its "
            f"tasks will run; the job has ended with an error, and nothing more will be heard of it"
        )
    return f"job {job_id} could not be published, and has ended with an error: {type(error).__name__}: {error}"
