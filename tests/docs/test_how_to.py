"""The how-to pages, on top of the tutorial's project: what they show is what happens."""

from __future__ import annotations

import concurrent.futures
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.sync.client import connect

from tests import chromium
from tests.docs.blocks import DOCS, HOW_TO, Block, blocks_of
from tests.docs.walk import PATIENCE_SECONDS, Walk

pytestmark = [pytest.mark.xdist_group("docs"), pytest.mark.timeout(300)]


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_what_a_page_shows_is_what_happens(page: Path, site: Walk) -> None:
    site.follow(block for block in blocks_of(page) if block.language == "console")


def test_a_view_sends_to_a_room(site: Walk) -> None:
    token = "x" * 32
    headers = {"Cookie": f"csrftoken={token}", "X-CSRFToken": token}
    request = urllib.request.Request(site.here("http://127.0.0.1:8000/announce/lobby/"), b"text=Stop!", headers)
    with connect(site.here("ws://127.0.0.1:8001/chat/lobby/"), open_timeout=PATIENCE_SECONDS) as client:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            assert response.status == 204
        assert client.recv(PATIENCE_SECONDS) == "Stop!"


def test_a_class_of_the_page_on_groups_speaks_to_its_group(site: Walk) -> None:
    url = site.here("ws://127.0.0.1:8001/newsstand/")
    with connect(url, open_timeout=PATIENCE_SECONDS) as one, connect(url, open_timeout=PATIENCE_SECONDS) as other:
        one.send("Extra!")
        assert [one.recv(PATIENCE_SECONDS), other.recv(PATIENCE_SECONDS)] == ["Extra!"] * 2


def test_a_request_waits_for_news(site: Walk) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            urllib.request.urlopen, site.here("http://127.0.0.1:8001/news/"), timeout=PATIENCE_SECONDS
        )
        publish = Block(
            DOCS / "how-to" / "http.md",
            0,
            "console",
            "",
            "$ REDIS_URL=$(cat .chancelery/valkey/url) python manage.py publish 'It rains.'",
        )
        while not waiting.done():
            site.follow([publish])
        with waiting.result() as response:
            assert response.read() == b"It rains."


def test_a_task_answers_a_request(site: Walk) -> None:
    url = site.here("http://127.0.0.1:8001/typeset/?text=headline")
    with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as response:
        assert response.read() == b"HEADLINE"


def test_an_upload_reaches_its_view_over_the_layer(site: Walk) -> None:
    token = "x" * 32
    body = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n' + b"x" * 3_000_000
    headers = {"Cookie": f"csrftoken={token}", "X-CSRFToken": token, "Content-Type": "multipart/form-data; boundary=b"}
    request = urllib.request.Request(site.here("http://127.0.0.1:8001/photograph/"), body + b"\r\n--b--\r\n", headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
        assert response.read() == b"a.jpg: 3000000 bytes"


def test_the_commands_of_the_page_on_deploying_run(site: Walk) -> None:
    for command in ("gunicorn newsroom.wsgi", "daphne --bind", "manage.py runworker --threads 8", "celery -A newsroom"):
        assert command in (site.folder / "Procfile").read_text()
    assert re.search(r"worker +\| Worker ready: 8 threads", site.dev.output)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with chromium.launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in Chromium, on which nothing may go wrong."""
    wrong: list[str] = []
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_SECONDS * 1000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    yield page
    page.close()
    assert wrong == []


@pytest.mark.browser
def test_the_page_of_the_tutorial_shows_what_is_said(site: Walk, page: Page) -> None:
    [shown] = [block.source for block in blocks_of(DOCS / "tutorial.md") if block.caption == "The page"]
    page.goto(site.here("http://127.0.0.1:8000/"))
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#log")).to_have_text("open")
    page.locator("#text").fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#log")).to_have_text(shown)


@pytest.mark.browser
def test_what_the_page_on_browsers_makes_shows_a_result(site: Walk, page: Page) -> None:
    page.goto(site.here("http://127.0.0.1:8000/count/"))
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#outcome")).to_have_text("8 words")
    assert page.locator("#bar").evaluate("bar => bar.value") == 1


@pytest.mark.browser
def test_the_page_on_resuming_goes_on_after_a_reload(site: Walk, page: Page) -> None:
    page.goto(site.here("http://127.0.0.1:8000/edition/"))
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#pages li")).to_have_text(["1", "2", "3"])
    expect(page).to_have_url(re.compile("#job="))
    page.reload()
    expect(page.locator("#pages li")).to_have_text(["1", "2", "3"])
    page.locator("#headline").fill("Extra")
    page.locator("#headline").press("Enter")
    expect(page.locator("#outcome")).to_have_text("3 pages: Extra")
