"""Sliders bound to the database: two browsers, and what no page sends."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.example.conftest import OpenPage
from tests.example.site import PATIENCE_SECONDS, Site
from tests.example.test_page import picture

pytestmark = pytest.mark.xdist_group("example")

LAMP, HEARTH = 1, 2
WHAT_NO_PAGE_SENDS = [
    {"action": "create", "data": {"name": "Mine", "value": 1}},
    {"action": "create", "pk": LAMP, "data": {"value": 1}},
    {"action": "delete", "pk": LAMP},
    {"action": "delete"},
    {"action": "truncate", "pk": LAMP},
    {"action": None, "pk": LAMP},
    {"action": ["update"], "pk": LAMP, "data": {"value": 1}},
    {"pk": LAMP, "data": {"value": 1}},
    {},
    {"action": "update", "data": {"value": 1}},
    {"action": "update", "pk": None, "data": {"value": 1}},
    {"action": "update", "pk": 999, "data": {"value": 1}},
    {"action": "update", "pk": "1 OR 1=1", "data": {"value": 1}},
    {"action": "update", "pk": [LAMP], "data": {"value": 1}},
    {"action": "update", "pk": {"gt": 0}, "data": {"value": 1}},
    {"action": "update", "pk": 10**40, "data": {"value": 1}},
    {"action": "update", "pk": "\0", "data": {"value": 1}},
    {"action": "update", "pk": LAMP, "data": None},
    {"action": "update", "pk": LAMP, "data": [["value", 1]]},
    {"action": "update", "pk": LAMP, "data": "value"},
    {"action": "update", "pk": LAMP, "data": {"value": 101}},
    {"action": "update", "pk": LAMP, "data": {"value": -1}},
    {"action": "update", "pk": LAMP, "data": {"value": 10**30}},
    {"action": "update", "pk": LAMP, "data": {"value": "many"}},
    {"action": "update", "pk": LAMP, "data": {"value": None}},
    {"action": "update", "pk": LAMP, "data": {"value": ""}},
    {"action": "update", "pk": LAMP, "data": {"value": [1]}},
    {"action": "update", "pk": LAMP, "data": {"value": {"$gt": 0}}},
    {"action": "update", "pk": LAMP, "data": {"name": "Renamed"}},
    {"action": "update", "pk": LAMP, "data": {"id": 77}},
    {"action": "update", "pk": LAMP, "data": {"pk": HEARTH}},
    {"action": "update", "pk": LAMP, "data": {"saves": 10**6}},
    {"action": "update", "pk": LAMP, "data": {"_state": {}, "__class__": "x", "save": 1}},
    {"action": "update", "pk": LAMP, "model": "auth.user", "data": {"is_superuser": True}},
]
FRAMES_OF_NO_PAGE = [
    "",
    "null",
    "[]",
    "{",
    '"slider"',
    "[" * 100_000,
    '{"stream": "slider"}',
    '{"stream": "slider", "payload": 5}',
    '{"stream": "slider", "payload": null}',
    '{"stream": "nothing", "payload": {}}',
    '{"stream": {"a": 1}, "payload": {}}',
    '{"payload": {"action": "update", "pk": 1, "data": {"value": 1}}}',
    '{"stream": "slider", "payload": {"action": "update", "pk": 1, "data": {"value": NaN}}}',
    '{"stream": "slider", "payload": {"action": "update", "pk": 1, "data": {"value": 1e400}}}',
]


@contextlib.contextmanager
def database(site: Site) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(site.env["EXAMPLE_DB"])) as connection:
        yield connection


def rows(site: Site) -> list[tuple[object, ...]]:
    with database(site) as connection:
        return connection.execute("SELECT id, name, value FROM example_slider ORDER BY id").fetchall()


def saves(site: Site, pk: int) -> int:
    with database(site) as connection:
        return int(connection.execute("SELECT saves FROM example_slider WHERE id = ?", (pk,)).fetchone()[0])


def sliders(open_page: OpenPage) -> Page:
    return open_page("/sliders/", "#sliders-state")


@pytest.mark.browser
def test_a_drag_in_one_browser_moves_the_other(open_page: OpenPage, site: Site) -> None:
    one, other = sliders(open_page), sliders(open_page)
    before, begun = saves(site, LAMP), time.monotonic()
    one.evaluate(
        """pk => new Promise(done => {
            const range = document.querySelector(`[data-pk="${pk}"]`);
            let value = 0;
            range.dispatchEvent(new PointerEvent("pointerdown"));
            const timer = setInterval(() => {
                range.value = ++value;
                range.dispatchEvent(new Event("input"));
                if (value === 90) { clearInterval(timer); dispatchEvent(new PointerEvent("pointerup")); done(); }
            }, 20);
        })""",
        LAMP,
    )
    for page in (one, other):
        expect(page.locator(f"[data-pk='{LAMP}'] + output")).to_have_text("90")
    assert rows(site)[0] == (LAMP, "Lamp", 90)
    # One save in each 50 ms, and one for each end of the drag.
    assert 2 <= saves(site, LAMP) - before <= 20 * (time.monotonic() - begun) + 2
    picture(other, "sliders")


@pytest.mark.browser
def test_a_page_shows_why_it_may_not(open_page: OpenPage) -> None:
    page = sliders(open_page)
    page.locator(f"[data-pk='{HEARTH}']").evaluate("""range => {
        range.max = 500;
        range.value = 300;
        range.dispatchEvent(new Event("input"));
    }""")
    expect(page.locator("#sliders-status")).to_contain_text("Not moved")


def test_bad_inbound_data_changes_nothing_and_is_answered(site: Site) -> None:
    before = rows(site)
    frames = [json.dumps({"stream": "slider", "payload": payload}) for payload in WHAT_NO_PAGE_SENDS]
    with site.socket("/ws/sliders/") as client:
        for frame in [*frames, *FRAMES_OF_NO_PAGE]:
            client.send(frame)
            answer = json.loads(client.recv(PATIENCE_SECONDS))
            assert "error" in answer or answer["payload"]["errors"], (frame[:200], answer)
        client.send(b"\x00\xff")
        assert "error" in json.loads(client.recv(PATIENCE_SECONDS))
        assert rows(site) == before
        client.send(json.dumps({"stream": "slider", "payload": {"action": "update", "pk": 3, "data": {"value": 12}}}))
        told = json.loads(client.recv(PATIENCE_SECONDS))["payload"]
    assert (told["pk"], told["data"]) == (3, {"value": 12})
    assert [row for row in rows(site) if row[0] != 3] == [row for row in before if row[0] != 3]
