"""
What Celery makes of a task's first job, as the template of the message for its next ones: a third of the time.

Only for what is plain: a task alone, its options such that Celery treats every message of it alike, and nobody who
hooks into publishing. For all else, and whenever something has changed on which a message depends, Celery makes it.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from celery import signals
from celery._state import get_current_worker_task
from celery.canvas import Signature
from celery.utils.saferepr import saferepr
from kombu import serialization
from kombu.utils.json import loads
from msgspec import json

from chancelery.tasks.canvas import STAMP
from chancelery.tasks.engine.composing import Composer
from chancelery.tasks.engine.opening import Opening

_PLAIN = frozenset({"task_id", "ignore_result", "root_id", "reply_to", "stamped_headers", STAMP, "queue"})
"""The options that a message may have of which there is a template."""
_THEIRS = frozenset({"celery", "kombu", "chancelery"})
_BUILTIN = frozenset({tuple, dict})
_PRINTED = frozenset({str, int, float, bool, type(None)})
_MOST = 1000
_dumps: Any = serialization.dumps  # which kombu's types leave out
_ALONE = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_Entry = tuple[str, list[str], list[Any]]


class _Template(NamedTuple):
    depends: tuple[Any, ...]
    """On what it depends, apart from the job."""
    message: dict[str, Any] | None
    """As Celery made it; None for one of which no other can be made."""
    keys: list[str]
    rest: list[Any]

    def filled(self, sig: Any, tag: str) -> _Entry:
        """Return what puts the message for *sig* on its queue, as `Opening.put` takes it."""
        message, options = self.message or {}, sig.options
        args, kwargs, queue = sig.args or (), sig.kwargs or {}, message["properties"]["delivery_info"]["routing_key"]
        *_, args_most, kwargs_most, levels = self.depends
        body = _dumps((args, kwargs, _ALONE), serializer="json")[2]
        headers = {
            **message["headers"],
            "id": options["task_id"],
            "root_id": options["root_id"],
            "argsrepr": _text(args, args_most, levels),
            "kwargsrepr": _text(kwargs, kwargs_most, levels),
            "stamps": {STAMP: options[STAMP]},
        }
        properties = {
            **message["properties"],
            "correlation_id": options["task_id"],
            "reply_to": options["reply_to"],
            "delivery_tag": tag,
        }
        coded = base64.b64encode(body.encode()).decode()
        text = json.encode({**message, "body": coded, "headers": headers, "properties": properties}).decode()
        sign = self.keys[2].removesuffix(f"{message['properties']['delivery_tag']}.{queue}") + f"{tag}.{queue}"
        return "put", [*self.keys[:2], sign], [text, *self.rest]


def begin(known: Composer, app: Any, canvas: Any, opens: Opening, publish: Callable[[], object]) -> None:
    """Have *opens* begin with *canvas*; publish: has Celery make its messages, which *opens* collects."""
    depends = _depends(known, app, canvas)
    if depends is None:
        publish()
        return
    which = canvas.task, canvas.options.get("queue")
    template = known.templates.get(which)
    if template is None or template.depends != depends:
        publish()
        if len(known.templates) >= _MOST:
            known.templates.clear()
        known.templates[which] = _learned(depends, canvas, opens)
    elif template.message is None:
        publish()
    else:
        _check(canvas)
        opens.entries.append(template.filled(canvas, secrets.token_hex(16)))


def _text(value: Any, most: int | None, levels: int) -> str:
    """Return what `saferepr` does, which for plain values is what Python's own does in a tenth of the time."""
    if type(value) in _BUILTIN and _PRINTED.issuperset(map(type, value.values() if type(value) is dict else value)):
        text = repr(value)
        if len(text) < (most or 0) and '"' not in text and "\\" not in text:
            return text
    return str(saferepr(value, most, maxlevels=levels))


def _check(canvas: Any) -> None:
    """Have Celery check the arguments. Raises: TypeError."""
    task = canvas.type
    if task.typing:
        check = getattr(task, "__header__", None)
        if check is not None:
            check(*canvas.args, **canvas.kwargs)


def _depends(known: Composer, app: Any, canvas: Any) -> tuple[Any, ...] | None:
    """Return on what the message depends apart from the job; None unless it is plain."""
    if not _is_alone(canvas) or get_current_worker_task() is not None or _is_heard():
        return None
    task, amqp, backend, conf = app.tasks.get(canvas.task), app.amqp, app.backend, app.conf
    if task is None or canvas.type is not task or amqp.router.routes or conf.task_send_sent_event:
        return None
    if task._dump_pydantic_arguments is not None:  # noqa: SLF001 - this one and the next: as `Task.apply_async` does
        return None
    options, sender = task._get_exec_options(), amqp.send_task_message  # noqa: SLF001
    ways = (task.apply_async, task.shadow_name, app.send_task, amqp.router.route, amqp.create_task_message)
    ways = (*ways, sender, backend.on_task_call, canvas.apply_async, *known.ways)
    if options.get("serializer") != "json" or not all(map(_is_theirs, ways)):
        return None
    queue = canvas.options.get("queue") or conf.task_default_queue
    parts = task, backend, sender, amqp.queues.get(queue)  # by their ids: an app shall not be kept
    own = os.getpid(), tuple(map(id, parts)), queue, dict(options), task.time_limit, task.soft_time_limit
    return *own, amqp.argsrepr_maxsize, amqp.kwargsrepr_maxsize, conf.task_repr_maxlevels


def _is_alone(canvas: Any) -> bool:
    options = canvas.options
    is_plain = type(canvas) is Signature and options.keys() <= _PLAIN and isinstance(options.get("queue"), str | None)
    return is_plain and options["stamped_headers"] == [STAMP]


def _is_heard() -> bool:
    """Tell whether anybody but this package hears of what is published."""
    before = signals.before_task_publish.receivers
    return len(before) != 1 or bool(signals.after_task_publish.receivers or signals.task_sent.receivers)


def _is_theirs(method: Any) -> bool:
    """Tell whether *method* is of Celery, kombu or this package, and nothing that somebody has put around it."""
    function = method.__func__ if type(method) is MethodType else method
    return type(function) is FunctionType and function.__globals__["__name__"].partition(".")[0] in _THEIRS


def _learned(depends: tuple[Any, ...], canvas: Any, opens: Opening) -> _Template:
    """Return the template of which the one message of *opens* can be made; one of nothing when it cannot."""
    nothing = _Template(depends, None, [], [])
    if opens.has_others or len(opens.entries) != 1 or opens.entries[0][0] != "put":
        return nothing
    _, keys, (text, *rest) = opens.entries[0]
    message = loads(text)
    tag = message["properties"]["delivery_tag"]
    headers, queue = message["headers"], message["properties"]["delivery_info"]["routing_key"]
    changes = headers["eta"], headers["expires"], rest[0] or None, message["properties"].get("expiration")
    if any(changes) or len(keys) != 3 or not keys[2].endswith(f"{tag}.{queue}"):  # noqa: PLR2004
        return nothing
    found = _Template(depends, message, keys, rest)
    _, same, (again, *_) = found.filled(canvas, tag)
    return found if same == keys and loads(again) == message else nothing
