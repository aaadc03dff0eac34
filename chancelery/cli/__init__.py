"""The command `chancelery`: reads arguments, prints what went wrong, returns an exit status."""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured

from chancelery.exceptions import ChanceleryError

if TYPE_CHECKING:
    from collections.abc import Sequence

_USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with *argv*, or with this process's arguments, and return its exit status."""
    options = _parser().parse_args(argv)
    try:
        from chancelery.cli.dev import dev  # noqa: PLC0415 - needs packages that only the extra `dev` brings

        return dev(options.procfile, grace_seconds=options.grace)
    except ModuleNotFoundError as error:
        if error.name != "honcho":
            raise
        return _complain("the package honcho is not installed: pip install 'chancelery[dev]'")
    except KeyboardInterrupt:
        return 0
    except (ImproperlyConfigured, ChanceleryError) as error:
        return _complain(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chancelery", description=__doc__)
    parser.add_argument("--version", action="version", version=f"chancelery {version('chancelery')}")
    commands = parser.add_subparsers(title="commands", required=True)
    dev = commands.add_parser(
        "dev",
        help="run everything in the Procfile, and an embedded Valkey when REDIS_URL is not set",
        description="Run the Procfile's release line, then all its other lines. Without REDIS_URL, an embedded Valkey "
        "keeps its data in .chancelery/valkey beside the Procfile. Ctrl-C stops everything; a second one at once.",
    )
    dev.add_argument("--procfile", type=Path, default=Path("Procfile"), metavar="PATH", help="default: ./Procfile")
    dev.add_argument(
        "--grace",
        type=_seconds,
        default=45.0,
        metavar="SECONDS",
        help="how long processes may take to stop before they are killed (default: 45)",
    )
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0")
    return seconds


def _complain(message: str) -> int:
    print(f"chancelery dev: {message}", file=sys.stderr)
    return _USAGE_ERROR
