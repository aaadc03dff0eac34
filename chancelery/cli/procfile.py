"""
What a project wants to be run, and with which environment: its Procfile and its `.env`.

Pure but for reading the two files. Every line that means nothing is an error: a process that silently is not there is
found late.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from honcho.environ import PROCFILE_LINE

_FIRST_PORT = 5000
_LOOK = re.compile(r"#\s*open:\s*(\S+)")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
_ASSIGNMENTS = re.compile(r"(?:[A-Za-z_]\w*=(?:\"[^\"]*\"|'[^']*'|[^\s\"'])*(?:\s+|$))*")
_DOTENV_LINE = re.compile(r"(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*)")
_COMPOUND = {";", ";;", "&", "&&", "|", "||", "(", ")", "()", "|&"}
_SHELL_WORD = re.compile(
    r"\.|:|!|\[\[|\{|alias|break|case|cd|command|continue|eval|exit|export|for|function|if|local|read|readonly|return|set"
    r"|shift|source|times?|trap|type|ulimit|umask|unset|until|wait|while"
)


@dataclass(frozen=True, kw_only=True)
class Procfile:
    """A Procfile that was read."""

    directory: Path
    """Where it lies: commands run there."""
    release: str = ""
    """Run to its end before everything else; empty when there is none."""
    processes: dict[str, str] = field(default_factory=dict)
    look: str = ""
    """From a comment `# open: URL`: where to look once everything runs."""


def read_procfile(path: Path) -> Procfile:
    """Read the Procfile at *path*. Raises: ImproperlyConfigured, with the line's number."""
    commands: dict[str, str] = {}
    look = ""
    for number, line in enumerate(_lines(path), start=1):
        text = line.strip()
        if text.startswith("#"):
            found = _LOOK.match(text)
            look = found[1] if found else look
        elif text:
            name, command = _process(f"{path}, line {number}", text)
            if name in commands:
                raise ImproperlyConfigured(f"{path}, line {number}: there is a process {name!r} already")
            commands[name] = command
    release = commands.pop("release", "")
    if not commands:
        raise ImproperlyConfigured(f"{path} names no process: write a line such as web: gunicorn site.wsgi")
    return Procfile(directory=path.resolve().parent, release=release, processes=commands, look=look)


def read_environment(directory: Path, given: Mapping[str, str]) -> dict[str, str]:
    """
    Return what a project's processes find in their environment: `.env`, over it *given*, and this Python's scripts.

    Raises: ImproperlyConfigured, with the line's number.
    """
    path = directory / ".env"
    assigned: dict[str, str] = {}
    for number, line in enumerate(_lines(path) if path.exists() else [], start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            found = _DOTENV_LINE.fullmatch(text)
            if found is None:
                raise ImproperlyConfigured(f"{path}, line {number} is not NAME=value")
            assigned[found[1]] = _unquoted(f"{path}, line {number}", found[2])
    environment = {"PYTHONUNBUFFERED": "1", **assigned, **given}
    scripts = str(Path(sys.executable).parent)
    environment["PATH"] = f"{scripts}:{environment.get('PATH', '/usr/local/bin:/usr/bin:/bin')}"
    return environment


def ports(processes: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return each process's PORT, by the custom of Procfiles: from PORT or 5000 on, a hundred apart."""
    first = environment.get("PORT") or str(_FIRST_PORT)
    if not (first.isascii() and first.isdecimal()):
        raise ImproperlyConfigured(f"PORT is a number, not {first!r}")
    return {name: str(int(first) + 100 * index) for index, name in enumerate(processes)}


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Return *text* with `$NAME`, `${NAME}` and `${NAME:-otherwise}` replaced as a shell does."""
    return _VARIABLE.sub(lambda found: environment.get(found[1] or found[3]) or found[2] or "", text)


def is_one_program(command: str) -> bool:
    """Tell whether a shell would run *command* as one program, or is told to by an `exec` in it."""
    if re.search(r"\bexec\b", command):
        return True
    lexer = shlex.shlex(command[len(_assignments(command)) :], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:  # a quotation without end: the shell will say so
        return False
    return bool(words) and not _SHELL_WORD.fullmatch(words[0]) and not _COMPOUND.intersection(words)


def as_leader(command: str) -> str:
    """Return *command* such that the shell becomes the program that it names, which then gets the signals itself."""
    if not is_one_program(command) or re.search(r"\bexec\b", command):
        return command
    assignments = _assignments(command)
    return f"{assignments}exec {command[len(assignments) :]}"


def _assignments(command: str) -> str:
    found = _ASSIGNMENTS.match(command)
    return found[0] if found else ""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise ImproperlyConfigured(
            f"there is no {path}: run this in a project's top folder, or name its Procfile with --procfile"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error}") from error


def _process(place: str, text: str) -> tuple[str, str]:
    found = PROCFILE_LINE.match(text)
    if found is None:
        raise ImproperlyConfigured(f"{place} is not a process: write name: command")
    return found[1], found[2]


def _unquoted(place: str, value: str) -> str:
    if value[:1] in {"'", '"'}:
        end = value.find(value[0], 1)
        if end < 0 or not re.fullmatch(r"\s*(#.*)?", value[end + 1 :]):
            raise ImproperlyConfigured(f"{place}: the quotation mark has no fellow at the end")
        return value[1:end]
    return re.split(r"\s+#", value, maxsplit=1)[0].strip()
