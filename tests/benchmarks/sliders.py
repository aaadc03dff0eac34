"""
`python -m tests.benchmarks.sliders`: two browsers on the example's sliders, and how soon one sees a drag in the other.

The whole site in processes of its own, Chromium by Playwright; both pages read the same clock.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests import chromium
from tests.benchmarks.conditions import Conditions, parser
from tests.benchmarks.report import Table, middle, show
from tests.example.site import Site, running

_NOTE = """pk => {
    window.seen = [];
    const range = document.querySelector(`[data-pk="${pk}"]`);
    const output = range.nextElementSibling;
    new MutationObserver(() => window.seen.push([Number(output.value), performance.timeOrigin + performance.now()]))
        .observe(output, {childList: true, characterData: true, subtree: true});
}"""
_DRAG = """([pk, changes, everyMs]) => new Promise(done => {
    const range = document.querySelector(`[data-pk="${pk}"]`);
    const moved = [];
    let turn = 0;
    range.dispatchEvent(new PointerEvent("pointerdown"));
    const timer = setInterval(() => {
        turn += 1;
        range.value = turn % 101;
        moved.push([turn % 101, performance.timeOrigin + performance.now()]);
        range.dispatchEvent(new Event("input"));
        if (turn < changes) return;
        clearInterval(timer);
        dispatchEvent(new PointerEvent("pointerup"));
        done(moved);
    }, everyMs);
})"""


MODULE = "tests.benchmarks.sliders"
WARM_UP_SECONDS = 1
"""Of a drag that does not count, and of rest: pages that have just been opened are still busy with that."""


def main() -> None:
    conditions = Conditions(MODULE)
    options_known = parser(MODULE, __doc__)
    options_known.add_argument("--seconds", type=float, default=4, help="how long each drag takes (4)")
    options_known.add_argument("--rate", type=float, default=50, help="changes per second (50)")
    options = options_known.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as site, chromium.launched() as browser:
        rounds = [_measured(site, browser, options.seconds, options.rate) for _ in range(options.rounds)]
    table = Table(
        "A slider dragged in one browser, seen in another",
        ["", "changes/s", "saves/s", "p50 ms", "p99 ms", "max ms", "last one after, ms"],
    )
    table.add("sliders", *(middle(column) for column in zip(*rounds, strict=True)))
    said = conditions.lines(rounds=options.rounds, seconds=options.seconds, rate=options.rate)
    show(said, [table], markdown=options.markdown)


def _measured(site: Site, browser: Browser, seconds: float, rate: float) -> tuple[float, ...]:
    one, other = _page(site, browser), _page(site, browser)
    one.evaluate(_DRAG, [1, int(WARM_UP_SECONDS * rate), 1000 / rate])
    one.wait_for_timeout(WARM_UP_SECONDS * 1000)
    other.evaluate(_NOTE, 1)
    saves, begun = _saves(site), time.monotonic()
    moved = one.evaluate(_DRAG, [1, int(seconds * rate), 1000 / rate])
    took = time.monotonic() - begun
    last = moved[-1][0]
    other.wait_for_function("last => seen.length && seen[seen.length - 1][0] === last", arg=last)
    seen = other.evaluate("seen")
    saves = _saves(site) - saves
    for page in (one, other):
        page.context.close()
    lags = sorted(_lags(moved, seen))
    share = lags[min(int(len(lags) * 0.99), len(lags) - 1)]
    return len(moved) / took, saves / took, lags[len(lags) // 2], share, lags[-1], seen[-1][1] - moved[-1][1]


def _page(site: Site, browser: Browser) -> Page:
    page = browser.new_context().new_page()
    page.goto(f"http://127.0.0.1:{site.web_port}/sliders/")
    page.wait_for_selector("#sliders-state[data-state=open]")
    return page


def _lags(moved: list[list[float]], seen: list[list[float]]) -> list[float]:
    """How long after it was set each value that the other page showed was there, in milliseconds."""
    lags = []
    for value, shown_at in seen:
        set_at = max((at for number, at in moved if number == value and at <= shown_at), default=None)
        if set_at is not None:
            lags.append(shown_at - set_at)
    return lags


def _saves(site: Site) -> int:
    with contextlib.closing(sqlite3.connect(site.env["EXAMPLE_DB"])) as connection:
        return int(connection.execute("SELECT saves FROM example_slider WHERE id = 1").fetchone()[0])


if __name__ == "__main__":
    main()
