"""
The tutorial's project with everything that the how-to pages add to it, running.

Beside the tutorial's own server for pages it runs what the page on deploying names, to see that this starts and stops.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.blocks import DOCS, HOW_TO, blocks_of
from tests.docs.walk import Walk, free_ports

GUNICORN_READY = r"gunicorn .* Booting worker"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    with Walk(tmp_path_factory.mktemp("newsroom")) as walk:
        walk.follow(block for block in blocks_of(DOCS / "tutorial.md") if not block.is_conversation)
        for page in HOW_TO:
            walk.follow(block for block in blocks_of(page) if block.language != "console")
        procfile = walk.folder / "Procfile"
        procfile.write_text(_deployed(procfile.read_text(), walk))
        walk.start()
        walk.dev.wait_for(GUNICORN_READY)
        yield walk
        walk.stop()
        ended = dict(re.findall(r"chancelery \| (\w+) ended with status (\d+)", walk.dev.output))
        assert ended == dict.fromkeys(["release", "web", "daphne", "worker", "celery", "gunicorn"], "0")


def _deployed(procfile: str, walk: Walk) -> str:
    """Return the tutorial's Procfile with the commands of the units."""
    pages = "\n".join(block.source for block in blocks_of(DOCS / "how-to" / "deploying.md"))
    commands = re.findall(r"^ExecStart=/srv/newsroom/\.venv/bin/(.*)", pages, re.MULTILINE)
    units = {command.split()[0].replace("python", "worker"): walk.here(command) for command in commands}
    units["gunicorn"] = units["gunicorn"].replace(str(walk.web_port), str(*free_ports(1)))
    kept = [line for line in procfile.splitlines() if line.partition(":")[0] not in units]
    return "\n".join([*kept, *(f"{name}: {command}" for name, command in units.items()), ""])
