"""The peers' own environment, made from PyPI when it is missing or when what is asked for has changed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".benchmarks" / "peers"
REQUIREMENTS = (
    "channels~=4.3",
    "channels_redis~=4.3",
    "daphne~=4.2",
    "celery[redis]~=5.7",
    "django~=5.2",
    "hiredis",
    "uvicorn",
    "uvloop",
    "websockets",
)
LISTED = ("channels", "channels_redis", "daphne", "uvicorn", "uvloop", "django", "celery", "redis", "hiredis")


def python() -> str:
    """Return the interpreter of the peers' environment, which takes a minute to make the first time."""
    interpreter, stamp = CACHE / "bin" / "python", CACHE / "requirements.txt"
    wanted = "\n".join((*REQUIREMENTS, sys.version)) + "\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return str(interpreter)
    print(f"making the peers' environment in {CACHE.relative_to(ROOT)} …", file=sys.stderr, flush=True)
    shutil.rmtree(CACHE, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(CACHE)], check=True)
    subprocess.run([str(interpreter), "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
    stamp.write_text(wanted)
    return str(interpreter)


def versions(interpreter: str) -> str:
    """Return what stands in that environment of what matters here, as one line."""
    code = (
        "import importlib.metadata as m, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: print(name, m.version(name), end=', ')\n"
        "    except m.PackageNotFoundError: pass\n"
    )
    found = subprocess.run([interpreter, "-c", code, *LISTED], check=True, capture_output=True, text=True)
    return found.stdout.rstrip(", ")
