"""One running site for all tests of the example."""

from __future__ import annotations

import re
import sysconfig
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from tests import chromium
from tests.example.site import PATIENCE_SECONDS, Site, running

OpenPage = Callable[..., Page]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with chromium.launched() as browser:
        yield browser


@pytest.fixture
def said() -> list[str]:
    """What was written to a console: errors and warnings."""
    return []


@pytest.fixture
def open_page(browser: Browser, site: Site, said: list[str]) -> Iterator[OpenPage]:
    """Opens the page as another visitor each time; at the end nothing may have been written to a console."""
    contexts = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            said.append(message.text)

    def opened(path: str = "/", state: str = "#jobs-state", **options: object) -> Page:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.on("console", heard)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"http://127.0.0.1:{site.web_port}{path}")
        expect(page.locator(state)).to_have_text("connected")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture(scope="session")
def library() -> bytes:
    """Real text, about 4 MB of it: the standard library's sources."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = b""
    for path in sorted([*folder.glob("*.py"), *folder.glob("*/*.py")]):
        text += path.read_bytes()
        if len(text) > 4_000_000:
            break
    return text


def plain_count(text: bytes) -> dict[str, Any]:
    """What the word count must find, found in the plainest way."""
    counts = Counter(re.findall(r"\w+", text.decode("utf-8", errors="replace").lower()))
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
    return {"words": counts.total(), "top": [list(pair) for pair in top]}
