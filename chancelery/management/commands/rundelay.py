"""`manage.py rundelay`: one delay server, until SIGTERM or Ctrl-C."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers


class Command(BaseCommand):
    """Needs the app `chancelery.delay`. SIGTERM lets it end what it has begun; a second one stops it at once."""

    help = "Keeps what is sent to asgi.delay in the database, and sends it when its time has come."
    requires_migrations_checks = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add Channels 1's options."""
        parser.add_argument("--layer", default=DEFAULT_CHANNEL_LAYER, help="alias of the channel layer to work on")
        parser.add_argument(
            "--sleep",
            type=float,
            default=1.0,
            metavar="SECONDS",
            help="between two looks for what is due (default: 1)",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Serve until told to stop. Raises: CommandError, which says what to do."""
        if not options["sleep"] > 0:
            raise CommandError(f"--sleep is a number of seconds above 0, not {options['sleep']:g}")
        if not apps.is_installed("chancelery.delay"):
            raise CommandError(
                'the table of delayed messages is that of an app: add "chancelery.delay" to INSTALLED_APPS and run '
                "manage.py migrate. Without it, workers keep them in the channel layer, and rundelay is not needed"
            )
        from chancelery.delay.worker import Worker  # noqa: PLC0415 - its model needs its app

        channel_layer = _layer(options["layer"])
        self.stdout.write(f"Delay server ready: it looks every {options['sleep']:g} s")
        self.stdout.flush()
        Worker(channel_layer, database_sleep_duration=options["sleep"]).run()
        channel_layer.layer.close()
        self.stdout.write("Stopped: everything that was begun is done.")


def _layer(alias: str) -> ChannelLayerWrapper:
    try:
        channel_layer = channel_layers[alias]
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    if isinstance(channel_layer.layer, InMemoryChannelLayer):
        raise CommandError(
            f"the channel layer {alias!r} lives in memory: this process would see none of the others' messages. Set "
            f'CHANNEL_LAYERS[{alias!r}]["BACKEND"] to "chancelery.layers.redis.RedisChannelLayer"'
        )
    return channel_layer
