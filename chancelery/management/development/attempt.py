"""One attempt to serve: from the checks that come first to the end of everything that was started."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, SystemCheckError
from django.core.management.commands.runserver import Command as RunserverCommand
from django.db import connections
from django.utils import autoreload

from chancelery.exceptions import ChanceleryError
from chancelery.layers.memory import InMemoryChannelLayer
from chancelery.management.development.orders import Orders
from chancelery.management.development.parts import Part, parts_behind
from chancelery.management.development.site import CannotListen, Server, Site
from chancelery.registry import DEFAULT_CHANNEL_LAYER, ChannelLayerWrapper, channel_layers

_FAILED: Final = 1
_SLICE_SECONDS: Final = 0.2
_BANNER: Final = """{now}
Django version {version}, using settings {settings!r}
Starting development server at http://{address}/
{parts}Quit the server with CONTROL-C. It is for development only.
"""


class DevelopmentCommand(RunserverCommand):
    """What Django's command has found out before it serves."""

    addr: str
    port: str
    use_ipv6: bool


class Attempt:
    """One site, in a thread, from its checks to its end."""

    def __init__(self, command: DevelopmentCommand, options: dict[str, Any]) -> None:
        self.fault: Exception | None = None
        """What kept it from serving, where nobody waits for the code to change."""
        self._command = command
        self._options = options
        self._site: Site | None = None

    def run(self, orders: Orders) -> None:
        """Serve until there is an order, which raises SystemExit here, or the code changes, which does so, too."""
        if self._options["use_reloader"]:
            reloader = autoreload.get_reloader()
            autoreload.start_django(reloader, self._serve, orders, reloader)
            return
        thread = threading.Thread(target=self._serve, args=(orders,), name="django-main-thread", daemon=True)
        thread.start()
        while True:
            thread.join(_SLICE_SECONDS)  # an order comes in between

    def stop(self) -> bool:
        """Stop what serves, and tell whether everything has come to its end."""
        return self._site is None or self._site.stop()

    def _serve(self, orders: Orders, reloader: autoreload.BaseReloader | None = None) -> None:
        try:
            self._prepare()
            self._site = self._made_site()
            if not self._site.run():
                orders.give(_FAILED)
        except CannotListen as error:
            self._command.stderr.write(self._command.style.ERROR(f"Error: {error}"))
            orders.give(_FAILED)
        except SystemExit:  # the gateway has said why
            orders.give(_FAILED)
        except Exception as error:  # noqa: BLE001 - code of the project, which is said to be wrong
            if reloader is None:
                self.fault = error
                orders.give(_FAILED)
                return
            self._report(error, reloader)

    def _report(self, error: Exception, reloader: autoreload.BaseReloader) -> None:
        """Say what is wrong, and have the reloader look where it is: what failed to be imported is no module."""
        watched = _files_of(error)
        if isinstance(error, SystemCheckError):  # a check says what is wrong with a routing, but not where
            watched |= _files_of(_fault_of_routings())
        reloader.extra_files = {*reloader.extra_files, *watched}  # not in place: it may be reading them
        plain = isinstance(error, CommandError | ImproperlyConfigured | ChanceleryError)
        if not plain or error.__cause__ is not None:
            raise error
        self._command.stderr.write(self._command.style.ERROR(str(error)))

    def _prepare(self) -> None:
        """Do what Django's own command does before it serves."""
        autoreload.raise_last_exception()
        if not self._options["skip_checks"]:
            self._command.stdout.write("Performing system checks...\n\n")
            asked: Any = BaseCommand.get_check_kwargs(self._command, self._options)
            self._command.check(**{**asked, "display_num_errors": True})
        self._command.check_migrations()
        connections.close_all()

    def _made_site(self) -> Site:
        channel_layer = channel_layers[DEFAULT_CHANNEL_LAYER]
        if self._options["run_worker"]:
            parts = parts_behind(channel_layer, self._options, self._say)
        elif isinstance(channel_layer.layer, InMemoryChannelLayer):
            raise CommandError(
                "--noworker needs a channel layer that workers elsewhere can reach, and the layer 'default' lives in "
                'memory: leave the option away, or set its BACKEND to "chancelery.layers.redis"'
            )
        else:
            parts = []
        return Site(lambda on_ready: self._server(channel_layer, parts, on_ready), parts)

    def _server(self, channel_layer: ChannelLayerWrapper, parts: list[Part], on_ready: Callable[[], None]) -> Server:
        from chancelery.management.development.web import Web, address_of  # noqa: PLC0415 - installs a reactor

        command = self._command
        host = "0.0.0.0" if command.addr == "0" else command.addr  # noqa: S104 - as Django has it

        def on_bind(port: int) -> None:
            self._say(
                _BANNER.format(
                    now=f"{datetime.now().astimezone():%B %d, %Y - %X}",
                    version=command.get_version(),
                    settings=settings.SETTINGS_MODULE,
                    address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
                    parts="".join(f"With {part.name}.\n" for part in parts),
                )
            )
            on_ready()

        return Web(
            channel_layer,
            address_of(host, int(command.port), ipv6=command.use_ipv6),
            on_bind=on_bind,
            http_timeout=self._options["http_timeout"],
            websocket_handshake_timeout=self._options["websocket_handshake_timeout"],
            root_path=settings.FORCE_SCRIPT_NAME or "",
        )

    def _say(self, text: str) -> None:
        self._command.stdout.write(text)
        self._command.stdout.flush()


def _fault_of_routings() -> Exception | None:
    try:
        for alias in channel_layers.configs:
            _ = channel_layers[alias].router
    except Exception as fault:  # noqa: BLE001 - code of the project; the check has said it
        return fault
    return None


def _files_of(error: BaseException | None) -> set[Path]:
    """Return the files that *error*, and all that led to it, has come through."""
    found: set[Path] = set()
    while error is not None:
        found.update(Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__))
        if isinstance(error, SyntaxError) and error.filename:
            found.add(Path(error.filename))
        error = error.__cause__ or error.__context__
    return {path for path in found if path.is_file()}
