"""What the migration guide tells: `channels` becomes `chancelery` where it is imported, and in the settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

OLD = Path(__file__).parent / "parlour"
_GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "migrating.md"
_INSTALLED = re.compile(r"(?<=')channels(?=[.'])")


def moved(target: Path) -> Path:
    """Copy the old project to *target* and move it to Chancelery; return the copy's folder."""
    project = Path(shutil.copytree(OLD, target / OLD.name, ignore=shutil.ignore_patterns("__pycache__")))
    [command] = re.findall(r"^ *```sh\n(.*?)^ *```$", _GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    subprocess.run(["sh", "-c", command], cwd=project, check=True)
    settings = project / OLD.name / "settings.py"
    settings.write_text(_INSTALLED.sub("chancelery", settings.read_text("utf-8")), "utf-8")
    return project


def changed_lines(project: Path) -> list[tuple[str, str]]:
    """Return `(file, line as it is now)` of every line that was changed."""
    found = []
    for file in sorted(project.rglob("*.py")):
        before = (OLD / file.relative_to(project)).read_text("utf-8").split("\n")
        after = file.read_text("utf-8").split("\n")
        found += [(str(file.relative_to(project)), new) for old, new in zip(before, after, strict=True) if old != new]
    return found
