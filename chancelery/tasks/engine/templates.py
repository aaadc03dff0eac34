"""
What Celery makes of a task's first job, as the template of the message for its next ones: a third of the time.

Only for what is plain: a task, or a flat chain, group or chord, with options such that Celery treats every message of
such a task alike, and nobody who hooks into publishing. For all else, and whenever something has changed on which a
message depends, Celery makes it.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from celery import signals
from celery._state import get_current_worker_task
from celery.utils.saferepr import saferepr
from kombu import serialization
from kombu.utils.json import loads
from msgspec import json

from chancelery.tasks.canvas import STAMP, Prepared
from chancelery.tasks.engine.composing import Composer
from chancelery.tasks.engine.configuration import look_up
from chancelery.tasks.engine.opening import Opening, collected

_PLAIN = frozenset({"task_id", "ignore_result", "root_id", "reply_to", "stamped_headers", STAMP, "queue"})
"""The options that a message may have of which there is a template."""
_THEIRS = frozenset({"celery", "kombu", "chancelery"})
_known_as_theirs: set[FunctionType] = set()
_BUILTIN = frozenset({tuple, dict})
_PRINTED = frozenset({str, int, float, bool, type(None)})
_MOST = 1000
_dumps: Any = serialization.dumps  # which kombu's types leave out
_NOTHING = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_NOTHING_FOLLOWS = str(_dumps(_NOTHING, serializer="json")[2])
_Entry = tuple[str, list[str], list[Any]]
_Which = tuple[str, str | None, str | None]
"""What a template is of: a task's name, its queue, and the kind of canvas that it is in."""


class _Part(NamedTuple):
    """A task that a canvas begins with."""

    sig: Any
    which: _Which
    follows: str
    """What Celery is to do after it, as JSON."""
    group: str | None = None
    place: int | None = None


class _Template(NamedTuple):
    depends: tuple[Any, ...]
    """On what it depends, apart from the job."""
    message: dict[str, Any] | None
    """As Celery made it; None for one of which no other can be made."""
    keys: list[str]
    rest: list[Any]

    def filled(self, part: _Part, tag: str) -> _Entry:
        """Return what puts the message for *part* on its queue, as `Opening.put` takes it."""
        message, options = self.message or {}, part.sig.options
        args, kwargs = part.sig.args or (), part.sig.kwargs or {}
        queue = message["properties"]["delivery_info"]["routing_key"]
        *_, args_most, kwargs_most, levels = self.depends
        body = f"[{_json(args)}, {_json(kwargs)}, {part.follows}]"
        headers = {
            **message["headers"],
            "id": options["task_id"],
            "root_id": options["root_id"],
            "group": part.group,
            "group_index": part.place,
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
        text = _encoded({**message, "body": coded, "headers": headers, "properties": properties})
        sign = self.keys[2].removesuffix(f"{message['properties']['delivery_tag']}.{queue}") + f"{tag}.{queue}"
        return "put", [*self.keys[:2], sign], [text, *self.rest]


def begin(known: Composer, app: Any, prepared: Prepared, opens: Opening, publish: Callable[[], object]) -> None:
    """Have *opens* begin with what is prepared; publish: has Celery make its messages, which *opens* collects."""
    parts = _parts(prepared)
    depends = _all_depends(known, app, parts) if _is_theirs(prepared.canvas.apply_async) else {}
    templates = {which: known.templates[which] for which in depends if which in known.templates}
    if not depends:
        publish()
    elif any(which not in templates or templates[which].depends != now for which, now in depends.items()):
        publish()
        if len(known.templates) >= _MOST:
            known.templates.clear()
        known.templates.update(_learned(depends, parts, opens, _size(app, parts)))
    elif any(found.message is None for found in templates.values()):
        publish()
    else:
        for part in parts:
            _check(part.sig)
        opens.entries += _size(app, parts)
        opens.entries += [templates[part.which].filled(part, secrets.token_hex(16)) for part in parts]


def _parts(prepared: Prepared) -> list[_Part]:
    """Return what is published at first; nothing when that is not plain."""
    canvas = prepared.canvas
    if not prepared.is_flat:
        return []
    kind = canvas.subtask_type
    if kind is None:
        return _plain([canvas], kind)
    if kind == "chain":
        head, *others = canvas.tasks
        return _plain([head], kind, others, chain=others[::-1])
    if kind == "group":
        return _plain(canvas.tasks, kind, group=canvas.id)
    body, group = canvas.body, canvas.tasks.id
    follows = {**body, "options": {**body.options, "group_id": group}}
    return _plain(canvas.tasks.tasks, kind, [body], group=group, chord=follows)


def _plain(
    tasks: Sequence[Any], kind: str | None, others: Sequence[Any] = (), group: str | None = None, **follows: Any
) -> list[_Part]:
    if not all(map(_is_plain, (*tasks, *others))):
        return []
    then = _json({**_NOTHING, **follows}) if follows else _NOTHING_FOLLOWS
    which = [(sig.task, sig.options.get("queue"), kind) for sig in tasks]
    if group is None:
        return [_Part(sig, of, then) for sig, of in zip(tasks, which, strict=True)]
    return [_Part(sig, of, then, group, at) for at, (sig, of) in enumerate(zip(tasks, which, strict=True))]


def _is_plain(sig: Any) -> bool:
    options = sig.options
    is_plain = options.keys() <= _PLAIN and isinstance(options.get("queue"), str | None)
    return is_plain and options["stamped_headers"] == [STAMP]


def _size(app: Any, parts: Sequence[_Part]) -> list[Any]:
    """Return what notes how many parts a chord has; nothing if it is none."""
    if parts[0].which[2] != "chord":
        return []
    with collected() as opens:
        app.backend.set_chord_size(parts[0].group, len(parts))
    return opens.entries


def _json(value: Any) -> str:
    return str(_dumps(value, serializer="json")[2])


def _encoded(message: dict[str, Any]) -> str:
    try:
        return json.encode(message).decode()
    except UnicodeEncodeError:  # half of a surrogate pair in the text of an argument: kombu escapes it
        return _json(message)


def _text(value: Any, most: int | None, levels: int) -> str:
    """Return what `saferepr` does, which for plain values is what Python's own does in a tenth of the time."""
    if type(value) in _BUILTIN and _PRINTED.issuperset(map(type, value.values() if type(value) is dict else value)):
        text = repr(value)
        if len(text) < (most or 0) and '"' not in text and "\\" not in text:
            return text
    return str(saferepr(value, most, maxlevels=levels))


def _check(sig: Any) -> None:
    """Have Celery check the arguments. Raises: TypeError."""
    task = sig.type
    if task.typing:
        check = getattr(task, "__header__", None)
        if check is not None:
            check(*sig.args, **sig.kwargs)


def _all_depends(known: Composer, app: Any, parts: Sequence[_Part]) -> dict[_Which, tuple[Any, ...]]:
    """Return on what the messages depend apart from the job; nothing when they are not to be made here."""
    if get_current_worker_task() is not None or _is_heard():
        return {}
    sigs = {part.which: part.sig for part in parts}
    found = {which: now for which, sig in sigs.items() if (now := _depends(known, app, sig)) is not None}
    return found if len(found) == len(sigs) else {}


def _depends(known: Composer, app: Any, sig: Any) -> tuple[Any, ...] | None:
    task, amqp, backend, conf = app.tasks.get(sig.task), app.amqp, app.backend, app.conf
    if task is None or sig.type is not task or amqp.router.routes or look_up(conf, "task_send_sent_event"):
        return None
    if task._dump_pydantic_arguments is not None:  # noqa: SLF001 - this one and the next: as `Task.apply_async` does
        return None
    options, sender = task._get_exec_options(), amqp.send_task_message  # noqa: SLF001
    ways = (task.apply_async, task.shadow_name, app.send_task, amqp.router.route, amqp.create_task_message)
    ways = (*ways, sender, backend.on_task_call, backend.apply_chord, sig.apply_async, *known.ways)
    if options.get("serializer") != "json" or not all(map(_is_theirs, ways)):
        return None
    queue = sig.options.get("queue") or look_up(conf, "task_default_queue")
    parts = task, backend, sender, amqp.queues.get(queue)  # by their ids: an app shall not be kept
    own = os.getpid(), tuple(map(id, parts)), queue, dict(options), task.time_limit, task.soft_time_limit
    return *own, amqp.argsrepr_maxsize, amqp.kwargsrepr_maxsize, look_up(conf, "task_repr_maxlevels")


def _is_heard() -> bool:
    """Tell whether anybody but this package hears of what is published."""
    before = signals.before_task_publish.receivers
    return len(before) != 1 or bool(signals.after_task_publish.receivers or signals.task_sent.receivers)


def _is_theirs(method: Any) -> bool:
    """Tell whether *method* is of Celery, kombu or this package, and nothing that somebody has put around it."""
    function = method.__func__ if type(method) is MethodType else method
    if type(function) is not FunctionType:
        return False
    if function not in _known_as_theirs and function.__globals__["__name__"].partition(".")[0] in _THEIRS:
        _known_as_theirs.add(function)
    return function in _known_as_theirs


def _learned(
    depends: Mapping[_Which, tuple[Any, ...]], parts: Sequence[_Part], opens: Opening, size: list[Any]
) -> dict[_Which, _Template]:
    """Return the templates of which the messages of *opens* can be made; such of nothing when they cannot."""
    nothing = {which: _Template(now, None, [], []) for which, now in depends.items()}
    puts = [entry[1:] for entry in opens.entries if entry[0] == "put"]
    if opens.has_others or len(puts) != len(parts) or [entry for entry in opens.entries if entry[0] != "put"] != size:
        return nothing
    found: dict[_Which, _Template] = {}
    for part, (keys, (text, *rest)) in zip(parts, puts, strict=True):
        message = loads(text)
        tag, headers = message["properties"]["delivery_tag"], message["headers"]
        queue = message["properties"]["delivery_info"]["routing_key"]
        changes = headers["eta"], headers["expires"], rest[0] or None, message["properties"].get("expiration")
        if any(changes) or len(keys) != 3 or not keys[2].endswith(f"{tag}.{queue}"):  # noqa: PLR2004
            return nothing
        template = found.setdefault(part.which, _Template(depends[part.which], message, keys, rest))
        _, same, (again, *_) = template.filled(part, tag)
        if same != keys or loads(again) != message:
            return nothing
    return found
