"""
Where Autobahn's suite runs: it needs Python 2.7, and is installed into a folder of its own beside the repository's.

Python 2.7 has no venv; the folder is given to it as a site directory instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".benchmarks" / "autobahn"
REQUIREMENT = "autobahntestsuite==25.10.1"

_CODE = "import site, sys; site.addsitedir(sys.argv.pop(1)); from autobahntestsuite.wstest import run; run()"


class MissingError(Exception):
    """Something that the suite needs is not here."""


def command() -> list[str]:
    """Return the command that is the suite's `wstest`, installed the first time. Raises: MissingError."""
    python = _python()
    stamp = FOLDER / "requirement.txt"
    if not stamp.is_file() or stamp.read_text() != REQUIREMENT:
        _install(python)
        stamp.write_text(REQUIREMENT)
    return [python, "-c", _CODE, str(FOLDER)]


def _python() -> str:
    pyenv = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/2.7.*/bin/python2.7"))
    for candidate in [os.environ.get("PYTHON27"), shutil.which("python2.7"), *map(str, pyenv)]:
        if candidate and _run(candidate, "-m", "pip", "--version").returncode == 0:
            return candidate
    raise MissingError(
        "Autobahn's suite runs on Python 2.7 with pip, and there is none: install it, for example with "
        "`pyenv install 2.7.18`, or name it in the environment variable PYTHON27"
    )


def _install(python: str) -> None:
    print(f"installing {REQUIREMENT} in {FOLDER.relative_to(ROOT)} …", file=sys.stderr, flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    options = ["--quiet", "--disable-pip-version-check", "--target", str(FOLDER)]
    done = _run(python, "-m", "pip", "install", *options, REQUIREMENT)
    if done.returncode:
        raise MissingError(f"{REQUIREMENT} cannot be installed:\n{done.stderr[-2000:]}")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
