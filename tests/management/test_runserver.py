"""`runserver` as a real process: what it serves, what a change of the code does, and how it stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError

import pytest
from django.core.management import load_command_class
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.management.site import PATIENCE_SECONDS, Site, copied, is_free, until

pytestmark = [pytest.mark.xdist_group("runserver"), pytest.mark.timeout(180)]

READY = "Celery is ready"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site without any Redis, which reloads. The tests of this module use it one after the other."""
    with copied(tmp_path_factory.mktemp("site"), PAPER_DRAIN_SECONDS="1") as site:
        site.start()
        site.wait_for(READY)
        yield site


def result(client) -> object:
    """Return the result of the job that a socket has asked for."""
    while True:
        event = json.loads(client.recv(PATIENCE_SECONDS))
        assert event["kind"] in {"accepted", "started", "result"}, event
        if event["kind"] == "result":
            return event["data"]


def job(site: Site, text: str) -> object:
    with site.socket("/work/") as client:
        client.send(text)
        return result(client)


def test_it_serves_page_socket_and_job_with_no_redis(site: Site) -> None:
    assert "does not answer" in site.output
    assert "No Redis: an embedded Valkey runs (process " in site.output
    word, _, server, path = site.get().split()
    assert (word, server, path) == ("first", "channels", "/")
    assert site.ask("/echo/", "hello") == "first hello"
    assert job(site, "hello") == "first HELLO"


def test_it_serves_static_files_before_the_views(site: Site) -> None:
    assert site.get("/static/paper/a.txt") == "a static file\n"


def test_it_says_what_it_serves_and_writes_a_line_for_each_request(site: Site) -> None:
    site.get("/?page=1")
    site.wait_for(r"^Django version .*, using settings 'paper.settings'$")
    site.wait_for(rf"^Starting development server at http://127.0.0.1:{site.port}/$")
    site.wait_for(r"^With a worker of 4 threads\.$")
    site.wait_for(r'^\[../.../.... ..:..:..\] "GET /\?page=1" 200 \d+$')
    site.wait_for(r"^\[.*\] WebSocket CONNECT /echo/ \[127\.0\.0\.1:\d+\]$")
    site.wait_for(r"^\[.*\] WebSocket DISCONNECT /echo/ ")
    assert site.ask("/threads/", "") == "4"


def test_a_change_of_the_code_reloads_page_consumers_and_tasks_but_not_the_valkey(site: Site) -> None:
    valkey = site.valkey_url.read_text()
    with site.socket("/echo/") as client:
        changed = site.say("second", "urls.py", "consumers.py", "tasks.py")
        site.wait_for(READY, after=changed)
        with pytest.raises(ConnectionClosed):
            client.recv(PATIENCE_SECONDS)
        assert client.close_code == 1012  # come back
    assert site.get().startswith("second ")
    assert site.ask("/echo/", "hello") == "second hello"
    assert job(site, "hello") == "second HELLO"
    assert site.valkey_url.read_text() == valkey


def test_a_job_outlives_a_reload_and_its_task_begins_anew_with_the_new_code(site: Site) -> None:
    begun = site.folder / "begun"
    with site.socket("/slow/") as client:
        client.send(str(site.folder))
        until(begun.exists)
        changed = site.say("third", "tasks.py")
        site.wait_for(READY, after=changed)
        until(lambda: begun.read_text().endswith("\nthird\n"))
    (site.folder / "go").touch()
    assert len(begun.read_text().splitlines()) == 2
    assert job(site, "hello") == "third HELLO"


def test_code_that_is_broken_is_said_and_mending_it_is_enough(site: Site) -> None:
    changed = site.change("def echo(message):", "def echo(message:", "consumers.py")
    site.wait_for("SyntaxError", after=changed)
    assert is_free(site.port)
    changed = site.change("def echo(message:", "def echo(message):", "consumers.py")
    site.wait_for(READY, after=changed)
    assert site.ask("/echo/", "hello").endswith(" hello")


def test_a_routing_that_is_wrong_is_said_and_mending_it_is_enough(site: Site) -> None:
    changed = site.change("consumers.echo", '"paper.consumers.ecco"', "routing.py")
    site.wait_for(r"chancelery\.E002.*ecco", after=changed)
    mended = site.change('"paper.consumers.ecco"', "consumers.echo", "routing.py")
    site.wait_for(READY, after=mended)
    assert site.ask("/echo/", "hello").endswith(" hello")


def test_ctrl_c_lets_consumers_end_and_leaves_nothing_behind(site: Site) -> None:
    stopped = len(site.output)
    end = site.folder / "end"
    with site.socket("/hold/") as client, site.socket("/echo/") as other:
        client.send(str(end))
        assert client.recv(PATIENCE_SECONDS) == "began"
        site.tell(signal.SIGINT, all_of_terminal=True)
        end.touch()
        with pytest.raises(ConnectionClosed):
            other.recv(PATIENCE_SECONDS)
        assert other.close_code == 1012
    assert site.ended() == 0
    assert "Traceback" not in site.output[stopped:]
    assert is_free(site.port)
    assert not site.valkey_url.exists()


def test_sigkill_to_the_parent_leaves_neither_the_port_nor_the_valkey_taken(tmp_path: Path) -> None:
    with copied(tmp_path) as site:
        site.start()
        site.wait_for(READY)
        assert_sigkill_leaves_nothing(site)


def test_code_that_django_cannot_set_up_is_served_once_mended_and_sigkill_leaves_nothing(tmp_path: Path) -> None:
    with copied(tmp_path) as site:
        site.change("None;", "(", "models.py")
        site.change('"""', "", "models.py")
        site.start()
        site.wait_for("SyntaxError")  # Django runs its own command as long as it cannot load ours
        mended = site.change("(", "pass #", "models.py")
        site.wait_for(READY, after=mended)
        assert site.ask("/echo/", "hello") == "first hello"
        assert_sigkill_leaves_nothing(site)


def assert_sigkill_leaves_nothing(site: Site) -> None:
    valkey = site.valkey_port()
    site.tell(signal.SIGKILL)
    until(lambda: is_free(site.port))
    until(lambda: is_free(valkey))


def test_with_noreload_it_is_one_process_also_on_a_layer_in_memory(tmp_path: Path) -> None:
    apps = "chancelery.delay"
    with copied(tmp_path, PAPER_LAYER="memory", PAPER_SCRIPT_NAME="/paper", PAPER_APPS=apps) as site:
        assert site.manage("migrate").returncode == 0
        site.start("--noreload", "--nothreading", "--nostatic", "--skip-checks")
        site.wait_for(r"^With a worker of 1 thread\.$")
        word, process, server, path = site.get("/").split()
        assert (word, int(process), server, path) == ("first", site.process.pid, "channels", "/paper/paper/")
        assert site.ask("/threads/", "") == "1"
        assert "With a delay server." in site.output
        assert site.ask("/later/", "hello") == "first hello"
        assert "Performing system checks" not in site.output
        assert "Celery" not in site.output
        assert "Valkey" not in site.output
        taken = Site(tmp_path / "other", PAPER_LAYER="memory")
        taken.port = site.port
        taken.start()
        taken.wait_for(r"^Error: That port is already in use\.$")
        assert taken.ended() == 1
        with site.socket("/hold/") as client:
            client.send("no such file")
            assert client.recv(PATIENCE_SECONDS) == "began"
            site.tell(signal.SIGINT)
            until(lambda: is_free(site.port))
            site.tell(signal.SIGINT)  # who is impatient
            assert site.ended() == 128 + signal.SIGINT
        assert "Traceback" not in site.output + taken.output


@pytest.mark.parametrize(("layer", "options"), [("none", ()), ("memory", ("--noasgi",))])
def test_without_a_layer_or_with_noasgi_it_is_djangos_own(tmp_path: Path, layer: str, options: tuple[str, ...]) -> None:
    with copied(tmp_path, PAPER_LAYER=layer) as site:
        site.start("--noreload", *options)
        site.wait_for("Quit the server with")
        assert site.get().split()[2] == "wsgi"
        assert site.get("/static/paper/a.txt") == "a static file\n"
        site.tell(signal.SIGKILL)


def test_noworker_needs_a_layer_that_others_reach(tmp_path: Path) -> None:
    site = Site(tmp_path, PAPER_LAYER="memory")
    done = site.manage("runserver", str(site.port), "--noreload", "--noworker")
    assert done.returncode == 1
    assert "--noworker needs a channel layer that workers elsewhere can reach" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_redis_that_was_named_and_does_not_answer_is_no_reason_for_another(tmp_path: Path) -> None:
    site = Site(tmp_path, REDIS_URL="redis://127.0.0.1:1/0", PAPER_DRAIN_SECONDS="1")
    done = site.manage("runserver", str(site.port), "--noreload")
    assert done.returncode == 1
    assert "chancelery: not serving: Redis at redis://127.0.0.1:1/0 does not answer" in done.stderr
    assert "Traceback" not in done.stderr
    assert not site.valkey_url.exists()


def test_noworker_leaves_the_work_to_others_and_the_timeouts_say_for_how_long(tmp_path: Path, redis_url: str) -> None:
    with copied(tmp_path, REDIS_URL=redis_url) as site:
        site.start("--noworker", "--noreload", "--http_timeout", "1", "--websocket_handshake_timeout", "1")
        site.wait_for("Quit the server with")
        with pytest.raises(InvalidStatus, match="403"), site.socket("/echo/"):
            pass
        assert not_served(site) == 503
        command = [sys.executable, "-m", "django", "runworker"]
        worker = subprocess.Popen(command, cwd=tmp_path, env=site.environment)
        try:
            until(lambda: not not_served(site))
            word, process, *_ = site.get().split()
        finally:
            worker.terminate()
        assert (word, int(process)) == ("first", worker.pid)
        assert worker.wait(PATIENCE_SECONDS) == 0
        site.tell(signal.SIGTERM)
        assert site.ended() == 0
        assert "Valkey" not in site.output
        assert "Celery" not in site.output


def not_served(site: Site) -> int:
    """Return the status of a page that was not served, or 0."""
    try:
        site.get()
    except HTTPError as error:
        error.close()
        return error.code
    return 0


def test_the_options_of_channels_1_have_its_defaults() -> None:
    parser = load_command_class("chancelery", "runserver").create_parser("manage.py", "runserver")
    given = vars(parser.parse_args([]))
    assert (given["http_timeout"], given["websocket_handshake_timeout"]) == (60, 5)
    assert (given["run_worker"], given["use_asgi"], given["use_threading"], given["use_reloader"]) == (True,) * 4
    assert (given["use_static_handler"], given["insecure_serving"], given["addrport"]) == (True, False, None)
    assert os.environ.get("CHANCELERY_RUNSERVER") is None
