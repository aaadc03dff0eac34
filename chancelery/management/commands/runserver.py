"""
`manage.py runserver`: daphne, a worker and a Celery worker in one process, which begins anew when the code changes.

Takes the place of Django's where `chancelery` comes before `django.contrib.staticfiles` in INSTALLED_APPS, and is that
one where there is no channel layer, or with `--noasgi`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from typing import Any, NoReturn

from django.apps import apps
from django.contrib.staticfiles.management.commands.runserver import Command as StaticfilesCommand
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.runserver import Command as DjangoCommand

from chancelery.exceptions import ChanceleryError, LayerUnavailable
from chancelery.layers.base import ChannelLayer
from chancelery.management.development.attempt import Attempt, DevelopmentCommand
from chancelery.management.development.orders import Orders
from chancelery.management.development.parent import Family, found_family, run_children
from chancelery.registry import DEFAULT_CHANNEL_LAYER, channel_layers


class Command(StaticfilesCommand, DevelopmentCommand):
    """Options, and what is printed, are Django's and Channels 1's; what serves is in `development`."""

    help = "Serves pages and sockets, and runs consumers and Celery's tasks, in one process, for development."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add Channels 1's options to Django's."""
        super().add_arguments(parser)
        parser.add_argument(
            "--noworker",
            action="store_false",
            dest="run_worker",
            help="run neither a worker nor Celery: others do",
        )
        parser.add_argument(
            "--noasgi", action="store_false", dest="use_asgi", help="serve pages alone, as Django's own runserver does"
        )
        parser.add_argument(
            "--http_timeout",
            type=int,
            default=60,
            metavar="SECONDS",
            help="how long a request may take before it is answered with 503 (default: 60)",
        )
        parser.add_argument(
            "--websocket_handshake_timeout",
            type=int,
            default=5,
            metavar="SECONDS",
            help="how long a socket's connect consumer may take before it is turned away (default: 5)",
        )

    def get_handler(self, *args: Any, **options: Any) -> WSGIHandler:
        """Return what Django's own server serves: static files only where their app is installed."""
        base = StaticfilesCommand if apps.is_installed("django.contrib.staticfiles") else DjangoCommand
        return base.get_handler(self, *args, **options)

    def run(self, **options: Any) -> None:
        """Serve until told to stop, in this process or in children of it."""
        if not options["use_asgi"] or DEFAULT_CHANNEL_LAYER not in channel_layers:
            super().run(**options)
            return
        family = found_family()
        if family is None:
            missing = _missing_server()
            if missing or options["use_reloader"]:
                sys.exit(self._run_children(missing))
        self._run_site(family, options)

    def _run_children(self, missing: str) -> int:
        if missing:
            self._say(missing)
        try:
            return run_children(self._say, with_valkey=bool(missing))
        except ChanceleryError as error:
            raise CommandError(str(error)) from error

    def _run_site(self, family: Family | None, options: dict[str, Any]) -> NoReturn:
        """Serve, and exit."""
        attempt = Attempt(self, options)
        with Orders() as orders:
            if family is not None:
                orders.follow(family.pipe)
            try:
                attempt.run(orders)
            except SystemExit as ended:
                orders.status = int(ended.code or 0)
            orders.hold()
            all_ended = attempt.stop()
            if orders.orphaned and family is not None and family.valkey:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(family.valkey, signal.SIGTERM)
            if isinstance(attempt.fault, ImproperlyConfigured | ChanceleryError):
                raise CommandError(str(attempt.fault)) from attempt.fault
            if attempt.fault is not None:
                raise attempt.fault
            if not all_ended:
                self._exit_at_once(orders.status)
        sys.exit(orders.status)

    def _exit_at_once(self, status: int) -> NoReturn:
        """Python would wait for the threads of a pool that a task still occupies, however long that takes."""
        logging.shutdown()
        self.stdout.flush()
        self.stderr.flush()
        os._exit(status)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _missing_server() -> str:
    """Return why the default layer has no server, when REDIS_URL names none; empty when it has one, or needs none."""
    if os.environ.get("REDIS_URL"):
        return ""
    with contextlib.suppress(ImproperlyConfigured):  # the checks will say it
        try:
            asyncio.run(_require_answer(channel_layers[DEFAULT_CHANNEL_LAYER].layer))
        except LayerUnavailable as error:
            return str(error)
    return ""


async def _require_answer(layer: ChannelLayer) -> None:
    try:
        await layer.acheck()
    finally:
        await layer.aclose()
