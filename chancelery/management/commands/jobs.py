"""`manage.py jobs`: what of jobs waits for its time or its turn, and the few things that an operator does about it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from chancelery.exceptions import LayerUnavailable, UnknownJob
from chancelery.moments import span
from chancelery.tasks import Job
from chancelery.tasks.due import Queued, Waiting
from chancelery.tasks.engine import backend

_SHOWN: Final = 50
_USAGE: Final = """%(prog)s [--limit N] [--json]
       %(prog)s reschedule ID… (--at DATETIME | --in SECONDS)
       %(prog)s run-now ID…
       %(prog)s cancel ID…"""
_OPTIONS: Final = {"": {"limit", "json"}, "reschedule": {"at", "in"}, "run-now": set[str](), "cancel": set[str]()}
"""What goes with which action; none means to show what waits."""


class Command(BaseCommand):
    """Shows what waits; gives it another time, publishes it now, or ends its job."""

    help = "Shows which tasks wait for their time, and which jobs for their turn; reschedules, runs and cancels them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of all actions; which goes with which is checked in `handle`."""
        parser.usage = _USAGE
        parser.add_argument("words", nargs="*", metavar="ACTION ID", help="reschedule, run-now or cancel, and jobs")
        parser.add_argument("--at", metavar="DATETIME", help="in ISO 8601, such as 2030-01-01T08:00+01:00")
        parser.add_argument("--in", type=float, metavar="SECONDS", help="from now")
        parser.add_argument("--limit", type=int, metavar="N", help="how many of a kind to list (default: 50)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_: Any, **options: Any) -> None:
        """Do what the words say. Raises: CommandError, which says what is allowed."""
        action, *ids = options["words"] or [""]
        if action not in _OPTIONS:
            raise CommandError(f"{action!r} is no action: reschedule, run-now and cancel are; none shows what waits")
        _require_fitting(action, options)
        try:
            if not action:
                self._show(options)
            else:
                self._change(ids, _call(action, options))
        except (ImproperlyConfigured, LayerUnavailable) as error:
            raise CommandError(str(error)) from error

    def _show(self, options: Mapping[str, Any]) -> None:
        most = _SHOWN if options["limit"] is None else options["limit"]
        if most < 1:
            raise CommandError(f"--limit is at least 1, not {most}")
        engine = backend.current()
        with engine.reporting():
            total, due, queued = engine.due.count(), engine.due.waiting(most), list(engine.due.queued(most))
        if options["json"]:
            self.stdout.write(json.dumps(_as_json(total, due, queued)))
        else:
            self.stdout.write("\n".join(_lines(total, due, queued)))

    def _change(self, ids: Sequence[str], call: Callable[[Job], bool]) -> None:
        if not ids:
            raise CommandError("say which jobs: their ids, as `manage.py jobs` lists them")
        failed = [said for job_id in ids if (said := self._changed(Job(job_id), call))]
        if failed:
            raise CommandError("; ".join(failed))

    def _changed(self, job: Job, call: Callable[[Job], bool]) -> str:
        """Return why nothing was done, or an empty string."""
        try:
            done = call(job)
        except UnknownJob as error:
            return str(error)
        if done:
            self.stdout.write(f"{job.id} done")
        return "" if done else f"{job.id}: nothing of it waits for its time, or it has ended"


def _require_fitting(action: str, options: Mapping[str, Any]) -> None:
    for name in sorted(set().union(*_OPTIONS.values()) - _OPTIONS[action]):
        if options[name] not in (None, False):
            raise CommandError(f"--{name} does not go with {action or 'showing what waits'}")


def _call(action: str, options: Mapping[str, Any]) -> Callable[[Job], bool]:
    if action == "reschedule":
        eta = _eta(options["at"], options["in"])
        return lambda job: job.reschedule(eta)
    return Job.run_now if action == "run-now" else Job.cancel


def _eta(at: str | None, seconds: float | None) -> datetime | timedelta:
    if (at is None) == (seconds is None):
        raise CommandError("say when: --at DATETIME or --in SECONDS")
    try:
        if seconds is not None:
            return span("--in", seconds)
        found = parse_datetime(str(at))
    except (TypeError, ValueError) as error:
        raise CommandError(f"no time can be made of this: {error}") from error
    if found is None:
        raise CommandError(f"--at {at} is no datetime: write it as 2030-01-01T08:00+01:00")
    return timezone.make_aware(found) if timezone.is_naive(found) else found


def _lines(total: int, due: Sequence[Waiting], queued: Sequence[Queued]) -> list[str]:
    lines = [f"Tasks that wait for their time: {total}"]
    lines += [
        f"  {timezone.localtime(each.due):%Y-%m-%d %H:%M:%S}  {each.job_id or '-':32}  {each.name}" for each in due
    ]
    lines += [f"  and {total - len(due)} more"] if total > len(due) else []
    lines.append(f"Jobs that wait for their turn: {len(queued)}")
    lines += [f"  {each.limit}  {each.position}  {each.job_id}" for each in queued]
    return lines


def _as_json(total: int, due: Sequence[Waiting], queued: Sequence[Queued]) -> dict[str, Any]:
    return {
        "due": total,
        "tasks": [{**each._asdict(), "due": each.due.isoformat()} for each in due],
        "waiting": [each._asdict() for each in queued],
    }
