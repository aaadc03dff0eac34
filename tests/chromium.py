"""A real Chromium, driven by Playwright. While it runs, its thread has an event loop: end it with the package."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """Launch it, or skip the test that wants it; where CHANCELERY_REQUIRE_BROWSER is 1, fail."""
    found = os.environ.get("CHANCELERY_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        reason = "no Chromium: install it (Debian: apt-get install chromium) or name it in CHANCELERY_CHROMIUM"
        if os.environ.get("CHANCELERY_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield browser
        browser.close()
