"""The bridge in a real browser, on a real gateway, worker and Celery, with cuts and kills."""

from __future__ import annotations

import signal
import uuid
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.javascript.conftest import PAGES, PATIENCE_SECONDS, OpenPage, Site

pytestmark = [pytest.mark.xdist_group("javascript"), pytest.mark.browser]

START = """async (order) => {
    bridge.send(order);
    return new Promise((resolve) => bridge.listen(({ taken }) => resolve(taken)));
}"""
"""Escalates, and returns the id of the job."""
OUTCOME = """(id) => bridge.job(id).result.then(
    (data) => ["result", data],
    ({ code, message, reference }) => ["error", code, message, typeof reference],
)"""


def heard(page: Page, count: int) -> Any:
    """What was heard, once it is so much."""
    page.wait_for_function("(count) => heard.length >= count", arg=count)
    return page.evaluate("heard")


@pytest.mark.parametrize("path", PAGES)
def test_messages_go_both_ways_plainly_and_on_streams(path: str, open_page: OpenPage) -> None:
    page = open_page(path)
    page.evaluate(
        """() => {
            bridge.demultiplex("desk", (payload, stream) => heard.push([payload, stream]));
            bridge.send({ a: 1 });
            bridge.stream("desk").send({ b: "ä" });
            bridge.send({ c: null });
        }"""
    )
    assert heard(page, 3) == [{"a": 1}, [{"b": "ä"}, "desk"], {"c": None}]


def test_a_connection_that_is_cut_comes_back_and_what_was_sent_meanwhile_arrives_in_order(
    open_page: OpenPage, site: Site
) -> None:
    page = open_page(maxReconnectionDelay=500, maxEnqueuedMessages=3)
    page.evaluate(
        """() => {
            window.facts = [];
            for (const type of ["close", "reconnecting", "open", "dropped"]) {
                bridge.on(type, ({ code, attempt, reconnected, data }) =>
                    facts.push([type, code ?? attempt ?? reconnected ?? data]));
            }
        }"""
    )
    site.sockets("shut")
    try:
        page.wait_for_function("facts.length > 3")  # an attempt in vain, too
        assert page.evaluate("[1, 2, 3, 4].map((number) => bridge.send(number))") == [True, True, True, False]
    finally:
        site.sockets("heal")
    assert heard(page, 3) == [1, 2, 3]
    facts = page.evaluate("facts")
    assert facts[:4] == [["close", 1006], ["reconnecting", 1], ["close", 1006], ["reconnecting", 2]]
    assert ["dropped", "4"] in facts
    assert facts[-1] == ["open", True]


def test_when_the_browser_is_online_again_it_does_not_wait(open_page: OpenPage, site: Site) -> None:
    page = open_page(minReconnectionDelay=10 * 60_000, maxReconnectionDelay=10 * 60_000)
    page.evaluate("() => { window.waits = new Promise((resolve) => bridge.on('reconnecting', resolve)); }")
    site.sockets("cut")
    page.evaluate("() => waits.then(() => null)")
    page.evaluate("bridge.send({ kept: true })")
    page.context.set_offline(True)
    page.context.set_offline(False)
    assert heard(page, 1) == [{"kept": True}]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, 1006), (signal.SIGTERM, 1012)])
def test_a_gateway_that_is_killed_or_restarted_is_found_again(
    number: signal.Signals, code: int, open_page: OpenPage, site: Site
) -> None:
    page = open_page(restartSpread=500, maxReconnectionDelay=500)
    page.evaluate("() => { window.code = new Promise((resolve) => bridge.on('close', ({ code }) => resolve(code))); }")
    job = page.evaluate(START, {"start": "later"})
    page.evaluate("(id) => new Promise((resolve) => bridge.job(id).on('accepted', resolve))", job)
    page.evaluate("() => bridge.listen((message) => heard.push(message))")
    site.gateway.send_signal(number)
    assert page.evaluate("code") == code
    site.gateway.wait(PATIENCE_SECONDS)
    page.evaluate("bridge.send('still there?')")
    site.start_gateway()
    assert heard(page, 1) == ["still there?"]
    assert page.evaluate("(id) => bridge.job(id).state", job) == "accepted"
    assert page.evaluate("(id) => bridge.job(id).cancel()", job) is True
    assert page.evaluate(OUTCOME, job)[1] == "cancelled"


def test_a_job_goes_on_over_cuts_and_a_reload_and_nothing_is_told_twice_or_missed(
    open_page: OpenPage, site: Site
) -> None:
    page = open_page(maxReconnectionDelay=500)
    key = f"key.{uuid.uuid4().hex[:12]}"
    job = page.evaluate(START, {"start": "streams", "key": key})
    seqs = "(id) => { window.seqs = []; bridge.job(id).on('event', (_, { seq }) => seqs.push(seq)); }"
    page.evaluate(seqs, job)
    page.wait_for_function("seqs.at(-1) === 12")
    for _ in range(2):
        page.evaluate("() => { window.back = new Promise((resolve) => bridge.on('open', resolve)); }")
        site.sockets("cut")
        page.evaluate("() => back.then(() => null)")
    bridge = """([url]) => {
        window.bridge = new WebSocketBridge();
        bridge.connect(url);
        return new Promise((resolve) => bridge.on("open", () => resolve()));
    }"""
    page.reload()
    page.wait_for_function("() => window.WebSocketBridge !== undefined")
    page.evaluate(bridge, [site.url])
    assert page.evaluate("(id) => bridge.job(id).resume()", job) is True
    page.evaluate(seqs, job)
    page.evaluate("(key) => bridge.send({ go: key })", key)
    assert page.evaluate(OUTCOME, job) == ["result", "streamed"]
    assert page.evaluate("seqs") == list(range(1, 24))


def test_a_socket_that_is_closed_since_nobody_is_logged_in_stays_closed(open_page: OpenPage) -> None:
    page = open_page()
    told = page.evaluate(
        """() => new Promise((resolve) => {
            bridge.on("close", ({ code, willReconnect }) => resolve([code, willReconnect, bridge.socket.readyState]));
            bridge.send({ close: 4401 });
        })"""
    )
    assert told == [4401, False, 3]


@pytest.mark.parametrize("path", PAGES)
def test_a_job_tells_its_progress_and_keeps_its_promise(path: str, open_page: OpenPage) -> None:
    page = open_page(path)
    told = page.evaluate(
        """async () => {
            const told = [];
            bridge.listen(({ taken }) => {
                const job = bridge.job(taken);
                for (const kind of ["accepted", "started", "progress", "chunk", "result"])
                    job.on(kind, (data) => told.push([kind, data]));
                job.result.then((result) => done(result));
            });
            let done;
            const finished = new Promise((resolve) => (done = resolve));
            bridge.send({ start: "work", steps: 5 });
            return [await finished, told];
        }"""
    )
    result, events = told
    kinds = [kind for kind, _ in events]
    assert result == "worked"
    assert [kind for kind in kinds if kind != "progress"] == ["accepted", "started", "chunk", "chunk", "result"]
    assert [data["done"] for kind, data in events if kind == "progress"][-1] == 5
    assert [data["chunk"] for kind, data in events if kind == "chunk"] == [{"url": "/1"}, {"url": "/2"}]


def test_a_job_that_is_asked_for_after_its_end_has_lost_nothing(open_page: OpenPage) -> None:
    page = open_page()
    told = page.evaluate(
        """async () => {
            const ended = new Promise((resolve) => bridge.on("message", ({ data }) => {
                const { kind, job } = JSON.parse(data);
                if (kind === "result") resolve(job);
            }));
            bridge.send({ start: "work", steps: 1 });
            const job = bridge.job(await ended);
            const kinds = [];
            job.on("event", (_, { kind }) => kinds.push(kind));
            return [await job.result, job.state, kinds];
        }"""
    )
    assert told == ["worked", "result", ["accepted", "started", "progress", "chunk", "chunk", "result"]]


def test_a_job_that_fails_rejects_with_what_is_meant_for_clients(open_page: OpenPage) -> None:
    page = open_page()
    job = page.evaluate(START, {"start": "fail"})
    assert page.evaluate(OUTCOME, job) == ["error", "OutOfPaperError", "tray 2 is empty", "string"]


def test_a_job_is_cancelled_by_its_page_and_by_no_other(open_page: OpenPage) -> None:
    page, other = open_page(), open_page()
    job = page.evaluate(START, {"start": "wait", "key": f"key.{uuid.uuid4().hex}"})
    page.evaluate("(id) => new Promise((resolve) => bridge.job(id).on('started', resolve))", job)
    refused = "(id) => bridge.job(id).cancel().catch(({ name, code }) => [name, code])"
    assert other.evaluate(refused, job) == ["JobError", "unknown_job"]
    assert page.evaluate("(id) => bridge.job(id).state", job) == "started"
    assert page.evaluate("(id) => bridge.job(id).cancel()", job) is True
    assert page.evaluate(OUTCOME, job)[:2] == ["error", "cancelled"]
    assert page.evaluate("(id) => bridge.job(id).cancel()", job) is False
