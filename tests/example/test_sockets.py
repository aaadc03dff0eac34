"""The example's sockets and pages, seen with a real client while everything runs as in production."""

from __future__ import annotations

import contextlib
import json
import signal
from datetime import datetime, timedelta

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.example.conftest import plain_count
from tests.example.site import PATIENCE_SECONDS, STOP_SECONDS, Site, events, kinds, run

pytestmark = pytest.mark.xdist_group("example")


def test_a_frame_is_echoed_as_it_is(site: Site) -> None:
    with site.socket("/ws/echo/") as client:
        for frame in ["hello", "", "ẞ 📣", b"\x00\xff"]:
            client.send(frame)
            assert client.recv(PATIENCE_SECONDS) == frame


def test_what_one_says_everybody_in_the_room_hears_and_nobody_else(site: Site) -> None:
    with site.socket("/ws/chat/one/") as ada, site.socket("/ws/chat/one/") as bob, site.socket("/ws/chat/two/") as eve:
        ada.send("Ada: hello")
        assert [ada.recv(PATIENCE_SECONDS), bob.recv(PATIENCE_SECONDS)] == ["Ada: hello"] * 2
        eve.send("Eve: anybody?")
        assert eve.recv(PATIENCE_SECONDS) == "Eve: anybody?"


def test_a_chain_takes_its_three_steps(site: Site) -> None:
    with site.socket("/ws/jobs/") as client:
        found = run(client, do="chain", value=20)
    assert kinds(found)[0] == "accepted"
    assert found[-1]["kind"] == "result"
    assert found[-1]["data"] == {"value": 1764, "steps": ["20 + 1 = 21", "21 · 2 = 42", "42² = 1764"]}
    assert len({event["job"] for event in found}) == 1
    assert [event["seq"] for event in found] == sorted(event["seq"] for event in found)


def test_a_job_that_fails_at_first_is_tried_again_for_all_to_see(site: Site) -> None:
    with site.socket("/ws/jobs/") as client:
        found = run(client, do="flaky", fail=2)
    assert kinds(found).count("retry") == 2
    assert (found[-1]["kind"], found[-1]["data"]) == ("result", {"attempts": 3})


def test_a_job_whose_retries_are_spent_ends_in_an_error_without_a_traceback(site: Site) -> None:
    with site.socket("/ws/jobs/") as client:
        found = run(client, do="flaky", fail=10)
    assert kinds(found).count("retry") == 3
    assert found[-1]["kind"] == "error"
    assert "Traceback" not in json.dumps(found)


def test_a_job_that_was_put_off_runs_when_it_is_due(site: Site) -> None:
    with site.socket("/ws/jobs/") as client:
        found = run(client, do="later", seconds=1)
    data = found[-1]["data"]
    late = datetime.fromisoformat(data["ran"]) - datetime.fromisoformat(data["due"])
    assert timedelta() <= late < timedelta(seconds=PATIENCE_SECONDS)


def test_an_announcement_reaches_everybody_in_the_room(site: Site) -> None:
    with (
        site.socket("/ws/chat/hall/") as ada,
        site.socket("/ws/chat/hall/") as bob,
        site.socket("/ws/jobs/") as client,
    ):
        client.send(json.dumps({"do": "announce", "room": "hall", "text": "supper"}))
        assert [ada.recv(PATIENCE_SECONDS), bob.recv(PATIENCE_SECONDS)] == ["Announcement: supper"] * 2


@pytest.mark.parametrize("parts", [1, 20])
def test_the_word_count_of_an_upload_is_that_of_a_plain_counter(site: Site, library: bytes, parts: int) -> None:
    upload = site.upload(library)
    with site.socket("/ws/jobs/") as client:
        found = run(client, do="wordcount", upload=upload, parts=parts)
    assert found[-1]["kind"] == "result", found[-1]
    assert found[-1]["data"] == plain_count(library)


def test_a_text_in_the_frame_is_counted_too(site: Site) -> None:
    with site.socket("/ws/jobs/") as client:
        found = run(client, do="wordcount", text="To be, or not to be", parts=3)
    assert found[-1]["data"] == {"words": 6, "top": [["be", 2], ["to", 2], ["not", 1], ["or", 1]]}


def test_the_name_that_a_client_gives_its_frame_comes_back_with_the_job(site: Site) -> None:
    with site.socket("/ws/jobs/") as client:
        client.send(json.dumps({"do": "chain", "value": 1, "ref": "mine"}))
        found = []
        while not found or found[-1].get("kind") != "result":
            found.append(json.loads(client.recv(PATIENCE_SECONDS)))
        assert {"ref": "mine", "job": found[-1]["job"]} in found
        client.send(json.dumps({"do": "wordcount", "upload": "gone", "ref": "yours"}))
        assert json.loads(client.recv(PATIENCE_SECONDS))["ref"] == "yours"


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ("count this", "not JSON"),
        (b"\x00", "binary"),
        ('{"do": "dance"}', "allowed is one of wordcount, chain, flaky, later, announce"),
        ('{"do": "cancel"}', 'or, of a job whose id is the frame\'s "job", resume, cancel or input'),
        ('{"do": "flaky", "fail": "often"}', "a whole number from 0 to 10"),
        ('{"do": "wordcount", "text": "a", "parts": 1000}', "a whole number from 1 to 100"),
        ('{"do": "wordcount"}', 'needs one of "text" and "upload"'),
        ('{"do": "wordcount", "upload": "5"}', 'no upload "5"'),
        ('{"do": "wordcount", "upload": "00000000-0000-4000-8000-000000000000"}', "no upload"),
        ('{"do": "announce", "room": "a/b", "text": "x"}', "ASCII letters"),
    ],
)
def test_a_bad_frame_is_answered_and_the_socket_stays_open(site: Site, frame: str | bytes, complaint: str) -> None:
    with site.socket("/ws/jobs/") as client:
        client.send(frame)
        assert complaint in json.loads(client.recv(PATIENCE_SECONDS))["error"]
        assert run(client, do="chain", value=1)[-1]["kind"] == "result"


def test_a_frame_of_2_mb_closes_the_socket_with_1009(site: Site) -> None:
    with site.socket("/ws/echo/") as client:
        with contextlib.suppress(ConnectionClosedError):  # the answer may be there before its end
            client.send("x" * 2_000_000)
        with pytest.raises(ConnectionClosedError) as closed:
            client.recv(PATIENCE_SECONDS)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


@pytest.mark.parametrize("path", ["/ws/nothing/", "/", "/ws/chat/a%20b/", f"/ws/chat/{'a' * 51}/"])
def test_a_path_that_no_route_matches_is_turned_away(site: Site, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused, site.socket(path):
        pass
    assert refused.value.response.status_code == 403


def test_only_pages_of_the_site_may_open_sockets(site: Site) -> None:
    with site.socket("/ws/echo/", origin=f"http://127.0.0.1:{site.web_port}") as client:
        client.send("mine")
        assert client.recv(PATIENCE_SECONDS) == "mine"
    with pytest.raises(InvalidStatus) as refused, site.socket("/ws/echo/", origin="https://example.org"):
        pass
    assert refused.value.response.status_code == 403


def test_http_is_served_by_gunicorn_and_over_the_layer(site: Site) -> None:
    for port in (site.web_port, site.sockets_port):
        assert site.get("/health/", port) == (200, b'{"status": "ok"}')
        assert site.get("/nothing/", port)[0] == 404


def test_a_text_can_be_uploaded_over_the_layer_too(site: Site) -> None:
    upload = site.upload(b"one two two", port=site.sockets_port)
    with site.socket("/ws/jobs/") as client:
        found = run(client, do="wordcount", upload=upload)
    assert found[-1]["data"] == {"words": 3, "top": [["two", 2], ["one", 1]]}


def test_no_migration_is_missing(site: Site) -> None:
    site.manage("makemigrations", "--check", "--dry-run")


def test_a_text_that_is_empty_or_too_large_is_not_kept(site: Site) -> None:
    _, _, headers = site.http("GET", "/")
    token = headers["Set-Cookie"].split("csrftoken=")[1].split(";")[0]
    sent = {"Cookie": f"csrftoken={token}", "X-CSRFToken": token, "Content-Type": "application/octet-stream"}
    for body, complaint in ((b"", b"empty"), (b"x" * (32 * 1024**2 + 1), b"larger than 32 MiB")):
        status, answer, _ = site.http("POST", "/upload/", body, sent)
        assert (status, complaint in answer) == (400, True)
    del sent["X-CSRFToken"]
    assert site.http("POST", "/upload/", b"forged", sent)[0] == 403


def test_frames_that_wait_while_the_worker_is_replaced_are_all_answered_in_order(site: Site) -> None:
    numbers = [str(number) for number in range(40)]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(site.socket("/ws/echo/")) for _ in range(10)]
        for number in numbers:
            for client in clients:
                client.send(number)
        first = clients[0].recv(PATIENCE_SECONDS)
        leaving = site.ask_to_stop("worker")
        site.start("worker")
        assert [first, *(clients[0].recv(PATIENCE_SECONDS) for _ in numbers[1:])] == numbers
        for client in clients[1:]:
            assert [client.recv(PATIENCE_SECONDS) for _ in numbers] == numbers
        assert leaving.wait(STOP_SECONDS) == 0


def test_parts_that_had_not_started_are_counted_by_the_celery_worker_that_follows(site: Site, library: bytes) -> None:
    upload = site.upload(library)
    with site.socket("/ws/jobs/") as client, site.socket("/ws/jobs/") as patient:
        patient.send(json.dumps({"do": "later", "seconds": 2}))
        client.send(json.dumps({"do": "wordcount", "upload": upload, "parts": 50}))
        following = events(client)
        found = [next(following)]
        while found[-1]["kind"] in {"accepted", "started"}:
            found.append(next(following))
        leaving = site.ask_to_stop("celery")
        assert leaving.wait(STOP_SECONDS) in {0, -signal.SIGTERM}
        site.start("celery")
        found.extend(following)
        assert found[-1]["data"] == plain_count(library)
        assert list(events(patient))[-1]["kind"] == "result"
