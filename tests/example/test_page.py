"""The page in a real browser: what a visitor clicks, and what then appears."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.example.conftest import OpenPage, plain_count
from tests.example.site import ARTIFACTS, Site

pytestmark = [pytest.mark.xdist_group("example"), pytest.mark.browser]


def enter(page: Page, room: str, name: str) -> None:
    page.get_by_role("textbox", name="Room").fill(room)
    page.get_by_role("textbox", name="Your name").fill(name)
    page.get_by_role("button", name="Enter").click()
    expect(page.locator("#chat-state")).to_have_text(f"in {room}")


def picture(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=True)


def test_a_file_is_counted_in_parts_and_shown_as_a_table(open_page: OpenPage, library: bytes, tmp_path: Path) -> None:
    file = tmp_path / "library.py"
    file.write_bytes(library)
    page = open_page()
    page.locator("#file").set_input_files(file)
    expect(page.locator("#chosen-name")).to_contain_text("library.py")
    page.get_by_role("button", name="Count").click()
    whole = plain_count(library)
    expect(page.locator("#count-words")).to_have_text(f"{whole['words']:,}")
    rows = page.locator("#count-rows tr")
    expect(rows).to_have_count(20)
    expect(rows.first).to_have_text("".join([whole["top"][0][0], f"{whole['top'][0][1]:,}"]))
    expect(page.locator("#cells i.done")).to_have_count(20)
    picture(page, "word-count")


def test_a_text_that_was_typed_is_counted(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_label("Your text").fill("one two two three three three")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#count-words")).to_have_text("6")
    expect(page.locator("#count-rows th")).to_have_text(["three", "two", "one"])


def test_a_text_that_is_too_long_for_a_frame_is_sent_as_an_upload(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_label("Your text").evaluate("element => element.value = 'clerk '.repeat(200000)")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#count-words")).to_have_text("200,000")


def test_a_count_goes_on_after_a_reload_and_in_a_second_tab(open_page: OpenPage, site: Site) -> None:
    page = open_page()
    site.stop("celery")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#count-status")).to_have_text("waiting for a worker …")
    expect(page).to_have_url(re.compile("#job="))
    page.reload()
    expect(page.locator("#count-status")).to_have_text("waiting for a worker …")
    second = open_page("/#" + page.url.partition("#")[2])
    expect(second.get_by_role("button", name="Cancel")).to_be_visible()
    site.start("celery")
    for each in (page, second):
        expect(each.locator("#count-words")).to_have_text("83")
        expect(each.get_by_role("button", name="Cancel")).to_be_hidden()
    page.reload()
    expect(page.locator("#count-words")).to_have_text("83")


def test_a_count_is_cancelled_from_another_tab(open_page: OpenPage, site: Site) -> None:
    page = open_page()
    site.stop("celery")
    page.get_by_role("button", name="Count").click()
    expect(page).to_have_url(re.compile("#job="))
    second = open_page("/#" + page.url.partition("#")[2])
    second.get_by_role("button", name="Cancel").click()
    for each in (page, second):
        expect(each.locator("#count-status")).to_have_text("It was cancelled.")
    site.start("celery")
    page.get_by_role("button", name="Count").click()
    expect(page.locator("#count-words")).to_have_text("83")


def test_two_visitors_talk_and_an_announcement_reaches_both(open_page: OpenPage) -> None:
    ada, bob = open_page(), open_page()
    enter(ada, "salon", "Ada")
    enter(bob, "salon", "Bob")
    ada.get_by_label("Say something").fill("Good evening")
    ada.get_by_role("button", name="Send").click()
    for page in (ada, bob):
        expect(page.locator("#log p")).to_have_text(["Ada Good evening"])
    bob.get_by_label("Say something").fill("<b>Good</b> evening: to you")
    bob.get_by_label("Say something").press("Enter")
    expect(ada.locator("#log p").last).to_have_text("Bob <b>Good</b> evening: to you")
    bob.get_by_label("Announcement").fill("Supper is served")
    bob.get_by_role("button", name="Have a task announce it").click()
    for page in (ada, bob):
        expect(page.locator("#log p.announcement")).to_have_text("Announcement: Supper is served")
    picture(ada, "chat")


def test_jobs_that_fail_wait_or_follow_each_other_say_so(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Try").click()
    page.get_by_label("Failures").fill("5")
    page.get_by_role("button", name="Try").click()
    page.get_by_label("Seconds").fill("1")
    page.get_by_role("button", name="Put off").click()
    page.get_by_role("button", name="Follow").click()
    jobs = page.locator(".job")
    expect(jobs).to_have_count(4)
    steps, later, spent, flaky = (jobs.nth(number) for number in range(4))
    expect(steps).to_contain_text("20 + 1 = 21, then 21 · 2 = 42, then 42² = 1764")
    expect(later).to_contain_text("after its time")
    expect(flaky).to_contain_text("went well at attempt 3")
    expect(flaky.locator("[data-kind=retry]")).to_have_count(2)
    expect(spent.locator(".badge")).to_have_text("failed")
    expect(spent.locator("[data-kind=retry]")).to_have_count(3)
    picture(page, "jobs")


def test_a_ping_shows_how_long_it_took(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Ping").click()
    expect(page.locator("#ping-time")).to_contain_text(" ms")


def test_a_page_that_was_cut_off_says_so_and_comes_back(open_page: OpenPage, site: Site, said: list[str]) -> None:
    page = open_page()
    enter(page, "refuge", "Ada")
    page.get_by_label("Seconds").fill("1")
    page.get_by_role("button", name="Put off").click()
    expect(page.locator(".job .badge")).to_have_text("accepted")
    site.stop("daphne")
    expect(page.locator("#jobs-state")).to_contain_text("cut off, trying again in")
    expect(page.get_by_role("button", name="Follow")).to_be_disabled()
    site.start("daphne")
    expect(page.locator("#jobs-state")).to_have_text("connected")
    expect(page.locator("#chat-state")).to_have_text("in refuge")
    expect(page.locator(".job .badge")).to_have_text("done")
    page.get_by_role("button", name="Follow").click()
    expect(page.locator(".job .badge")).to_have_text(["done", "done"])
    said[:] = [
        line for line in said if not line.startswith("WebSocket connection to")
    ]  # Chromium's word on each failure


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_the_window_by_day_and_by_night(open_page: OpenPage, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    enter(page, scheme, "Ada")
    page.get_by_label("Say something").fill("Is it late?")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("button", name="Have a task announce it").click()
    page.get_by_role("button", name="Count").click()
    page.get_by_label("Failures").fill("1")
    page.get_by_role("button", name="Try").click()
    page.get_by_role("button", name="Follow").click()
    expect(page.locator("#count-words")).not_to_be_empty()
    expect(page.locator(".job[data-state=result]")).to_have_count(2)
    expect(page.locator("#log p.announcement")).to_have_count(1)
    for width in (1280, 800, 390):
        page.set_viewport_size({"width": width, "height": 800})
        picture(page, f"page-{scheme}-{width}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
