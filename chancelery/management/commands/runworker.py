"""`manage.py runworker`: one worker process, until SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import os
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from chancelery.exceptions import LayerUnavailable
from chancelery.layers.base import ChannelLayer
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers
from chancelery.signals import worker_ready
from chancelery.worker import Worker
from chancelery.worker.postponing import DEFAULT_RETRIES


class Command(BaseCommand):
    """Handles messages in threads; SIGTERM drains, a second signal stops at once."""

    help = "Runs consumers: takes messages off a channel layer and handles them as its routing says."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add Channels 1's options."""
        parser.add_argument("--layer", default=DEFAULT_CHANNEL_LAYER, help="alias of the channel layer to work on")
        parser.add_argument(
            "--only-channels", action="append", metavar="GLOB", help="work on matching channels only (repeatable)"
        )
        parser.add_argument(
            "--exclude-channels", action="append", metavar="GLOB", help="leave matching channels alone (repeatable)"
        )
        parser.add_argument("--threads", type=int, default=4, help="plain consumers that run at a time (default: 4)")
        parser.add_argument(
            "--coroutines", type=int, default=1000, help="async consumers that run at a time (default: 1000)"
        )
        parser.add_argument(
            "--message-retries",
            type=int,
            default=DEFAULT_RETRIES,
            metavar="N",
            help=f"how often a message is handled again whose consumer asks for it (default: {DEFAULT_RETRIES})",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Run a worker until it is told to stop. Raises: CommandError, which says what to do."""
        worker = _worker(options)
        asyncio.run(_require_server(worker.channel_layer.layer))
        self._announce(worker, options["threads"])
        try:
            all_ended = worker.run()
        finally:
            worker.channel_layer.layer.close()
        if not all_ended:
            self._exit_at_once()
        self.stdout.write("Stopped: everything that was begun is done.")

    def _exit_at_once(self) -> None:
        """Python would wait for the threads of a pool that a consumer still occupies, however long that takes."""
        self.stderr.write(self.style.ERROR("CommandError: stopped before everything was ended; see the log"))
        logging.shutdown()
        self.stdout.flush()
        self.stderr.flush()
        os._exit(1)

    def _announce(self, worker: Worker, threads: int) -> None:
        line = f"Worker ready: {threads} threads on {', '.join(worker.channels)}"

        def announce(**_: object) -> None:
            if worker_ready.disconnect(announce):  # every thread says that it is ready
                self.stdout.write(line)
                self.stdout.flush()

        worker_ready.connect(announce, weak=False)


def _worker(options: dict[str, Any]) -> Worker:
    for option, least in (("threads", 1), ("coroutines", 1), ("message_retries", 0)):
        if options[option] < least:
            raise CommandError(f"--{option.replace('_', '-')} is at least {least}, not {options[option]}")
    try:
        channel_layer = channel_layers[options["layer"]]
        _refuse_memory(channel_layer)
        return Worker(
            channel_layer,
            threads=options["threads"],
            coroutines=options["coroutines"],
            message_retries=options["message_retries"],
            only_channels=options["only_channels"],
            exclude_channels=options["exclude_channels"],
        )
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def _refuse_memory(channel_layer: ChannelLayerWrapper) -> None:
    if isinstance(channel_layer.layer, InMemoryChannelLayer):
        raise CommandError(
            f"the channel layer {channel_layer.alias!r} lives in memory: this process would see none of the others' "
            f'messages. Set CHANNEL_LAYERS[{channel_layer.alias!r}]["BACKEND"] to '
            f'"chancelery.layers.redis.RedisChannelLayer"'
        )


async def _require_server(layer: ChannelLayer) -> None:
    try:
        await layer.acheck()
    except LayerUnavailable as error:
        raise CommandError(str(error)) from error
    finally:
        await layer.aclose()
