import signal
import socket
import subprocess
from pathlib import Path

import pytest
from celery import Celery

from tests.cli.conftest import StartDev, exists, gone

OFFICE = """
import os, time
from celery import Celery

app = Celery("office", broker=os.environ["REDIS_URL"])

@app.task
def work():
    print("work has begun", flush=True)
    time.sleep(2)
    print("work is done", flush=True)
"""


def test_ctrl_c_stops_everything_and_is_a_success(start_dev: StartDev) -> None:
    dev = start_dev("web: child web quick\nworker: child worker quick\n")
    dev.wait_for("web is up")
    dev.wait_for("worker is up")
    dev.send(signal.SIGINT)
    assert dev.status() == 0
    assert "web is done" in dev.output
    assert "worker is done" in dev.output
    assert len(dev.pids) == 2
    assert gone(*dev.pids)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_a_closed_terminal_stop_everything_too(start_dev: StartDev, number: signal.Signals) -> None:
    dev = start_dev("web: child web quick\n")
    dev.wait_for("web is up")
    dev.send(number)
    assert dev.status() == 0
    assert "web is done" in dev.output


def test_without_a_redis_an_embedded_one_starts_first_and_stops_last(start_dev: StartDev) -> None:
    ask = """import os, redis; print("set:", redis.Redis.from_url(os.environ["REDIS_URL"]).set("a", 1))"""
    processes = "worker: child worker asks_redis\nweb: child web quick\n"
    dev = start_dev(f"release: python -c '{ask}'\n{processes}", REDIS_URL="")
    dev.wait_for("worker is up")
    dev.wait_for("web is up")
    dev.send(signal.SIGINT)
    assert dev.status() == 0
    assert "set: True" in dev.output
    assert "worker reaches redis: True" in dev.output
    assert dev.output.index("valkey runs") < dev.output.index("release runs")
    assert len(dev.pids) == 4
    assert gone(*dev.pids)


def test_a_second_run_in_the_same_project_is_refused(start_dev: StartDev) -> None:
    first = start_dev("web: child web quick\n", REDIS_URL="")
    first.wait_for("web is up")
    second = start_dev("web: child web quick\n", REDIS_URL="")
    assert second.status() == 2
    assert f"is in use by an embedded Valkey (process {first.pids[0]})" in second.output
    assert exists(first.pids[0])


def test_when_the_embedded_valkey_dies_everything_stops(start_dev: StartDev) -> None:
    dev = start_dev("web: child web quick\n", REDIS_URL="")
    dev.wait_for("web is up")
    subprocess.run(["kill", "-KILL", str(dev.pids[0])], check=True)
    assert dev.status() == 137
    assert "valkey ended with status 137" in dev.output
    assert gone(*dev.pids)


def test_the_release_line_ends_before_anything_else_starts(start_dev: StartDev) -> None:
    dev = start_dev("web: child web quick\nrelease: python -c 'import time; time.sleep(0.3); print(\"migrated\")'\n")
    dev.wait_for("web is up")
    assert dev.output.index("migrated") < dev.output.index("release ended") < dev.output.index("web runs")


def test_a_release_line_that_fails_ends_it_with_its_status(start_dev: StartDev) -> None:
    dev = start_dev("release: exit 4\nweb: child web quick\n", REDIS_URL="")
    assert dev.status() == 4
    assert "web runs" not in dev.output
    assert gone(*dev.pids)


def test_ctrl_c_during_the_release_line_starts_nothing_else(start_dev: StartDev) -> None:
    dev = start_dev("release: child release quick\nweb: child web quick\n")
    dev.wait_for("release is up")
    dev.send(signal.SIGINT)
    assert dev.status() == 0
    assert "release is done" in dev.output
    assert "web runs" not in dev.output
    assert gone(*dev.pids)


def test_when_one_process_ends_the_others_are_stopped(start_dev: StartDev) -> None:
    dev = start_dev("web: child web quick\nworker: sleep 0.5; exit 3\n")
    assert dev.status() == 3
    assert "worker ended with status 3" in dev.output
    assert gone(*dev.pids)


def test_a_process_that_ends_well_but_unasked_is_no_success(start_dev: StartDev) -> None:
    assert start_dev("web: child web quick\nworker: true\n").status() == 1


def test_a_program_that_does_not_exist_stops_the_others(start_dev: StartDev) -> None:
    dev = start_dev("web: child web quick\nworker: no-such-program\n")
    assert dev.status() == 127
    assert "no-such-program" in dev.output
    assert gone(*dev.pids)


def test_a_start_that_fails_halfway_leaves_nobody(start_dev: StartDev) -> None:
    dev = start_dev(f"web: child web quick\nworker: true {'x' * 200_000}\n", REDIS_URL="")
    assert dev.status() == 2
    assert "the Procfile's process worker cannot be started" in dev.output
    assert len(dev.pids) == 2
    assert gone(*dev.pids)


def test_who_needs_a_while_to_stop_has_it(start_dev: StartDev) -> None:
    dev = start_dev("web: child web quick\nworker: child worker slow\n")
    dev.wait_for("worker is up")
    dev.send(signal.SIGINT)
    assert dev.status() == 0
    assert "worker is done" in dev.output


def test_who_does_not_stop_within_the_grace_is_killed(start_dev: StartDev) -> None:
    dev = start_dev("web: child web quick\nworker: child worker stubborn\n", "--grace", "0.5")
    dev.wait_for("web is up")
    dev.wait_for("worker is up")
    dev.send(signal.SIGINT)
    assert dev.status() == 1
    assert "web is done" in dev.output
    assert "killing worker" in dev.output
    assert gone(*dev.pids)


def test_a_second_ctrl_c_kills_at_once(start_dev: StartDev) -> None:
    dev = start_dev("worker: child worker stubborn\n", "--grace", "600", REDIS_URL="")
    dev.wait_for("worker is up")
    dev.send(signal.SIGINT)
    dev.wait_for("Ctrl-C again kills at once")
    dev.send(signal.SIGINT)
    assert dev.status() == 130
    assert "killing worker" in dev.output
    assert gone(*dev.pids)


def test_only_the_leader_of_a_process_group_is_told_to_stop(start_dev: StartDev) -> None:
    dev = start_dev("celery: child celery parent\n")
    dev.wait_for("celery is up")
    dev.send(signal.SIGINT)
    assert dev.status() == 0
    assert "celery saw its member end with 0" in dev.output
    assert "member was told" not in dev.output


def test_what_a_leader_leaves_behind_is_stopped_after_it(start_dev: StartDev) -> None:
    dev = start_dev("web: child web leaver\n")
    dev.wait_for("web is up")
    orphan = int(dev.output.split("orphan: ")[1].split()[0])
    dev.send(signal.SIGINT)
    assert dev.status() == 0
    assert gone(orphan, *dev.pids)


def test_what_a_leader_that_was_killed_left_behind_is_stopped_too(start_dev: StartDev) -> None:
    dev = start_dev("web: child web leaver\n")
    dev.wait_for("web is up")
    orphan = int(dev.output.split("orphan: ")[1].split()[0])
    subprocess.run(["kill", "-KILL", str(dev.pids[0])], check=True)
    assert dev.status() == 137
    assert gone(orphan, *dev.pids)


def test_a_line_of_several_commands_is_stopped_with_a_hint(start_dev: StartDev) -> None:
    dev = start_dev("web: echo first && child web quick\n")
    dev.wait_for("web is up")
    dev.send(signal.SIGINT)
    dev.status()
    assert "web is more than one program: put exec before" in dev.output
    assert gone(*dev.pids)


def test_it_says_where_to_look_once_somebody_answers_there(start_dev: StartDev) -> None:
    port = free_port()
    serve = "web: python -m http.server --bind 127.0.0.1 ${WEB_PORT:-1}"
    dev = start_dev(f"# open: http://127.0.0.1:${{WEB_PORT:-1}}/start\n{serve}\n", WEB_PORT=str(port))
    dev.wait_for(f"open http://127.0.0.1:{port}/start")


def test_a_port_that_is_taken_is_noticed_before_anything_starts(start_dev: StartDev) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = f"http://127.0.0.1:{other.getsockname()[1]}/"
        dev = start_dev(f"# open: {url}\nweb: child web quick\n", REDIS_URL="")
        assert dev.status() == 2
    assert f"something answers at {url} already" in dev.output
    assert dev.pids == []


def test_children_get_the_environment_this_pythons_scripts_and_a_port_each(start_dev: StartDev, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COLOUR=green\nREDIS_URL=redis://elsewhere:1/0\n")
    dev = start_dev(
        'web: echo "web $COLOUR $PORT $REDIS_URL" && exec child web quick\n'
        'worker: echo "worker $PORT $(command -v chancelery)" && exec child worker quick\n'
    )
    dev.wait_for("web green 5000 redis://127.0.0.1:1/0")
    dev.wait_for("worker 5100 /")


def test_output_that_nobody_reads_any_more_stops_everything(start_dev: StartDev) -> None:
    dev = start_dev("web: child web quick\nchatter: while sleep 0.1; do echo talk; done\n")
    dev.wait_for("talk")
    dev.stop_listening()
    assert dev.process.wait(60) == 0
    assert gone(*dev.pids)


def test_without_a_procfile_it_says_what_to_do(start_dev: StartDev) -> None:
    dev = start_dev("web: true\n", "--procfile", "Missing")
    assert dev.status() == 2
    assert "there is no Missing: run this in a project's top folder, or name its Procfile with --procfile" in dev.output


@pytest.mark.parametrize("grace", ["soon", "-1", "inf", "nan"])
def test_a_grace_that_is_no_duration_is_refused(start_dev: StartDev, grace: str) -> None:
    dev = start_dev("web: true\n", f"--grace={grace}")
    assert dev.status() == 2
    assert "--grace" in dev.output


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_celery_ends_the_task_that_it_has_begun(start_dev: StartDev, tmp_path: Path) -> None:
    (tmp_path / "office.py").write_text(OFFICE)
    dev = start_dev("celery: celery -A office worker --concurrency 1 --loglevel INFO\n", "--grace", "60", REDIS_URL="")
    dev.wait_for("ready.")
    url = (tmp_path / ".chancelery" / "valkey" / "url").read_text()
    with Celery(broker=url, set_as_current=False) as office:
        office.send_task("office.work")
    dev.wait_for("work has begun")
    dev.send(signal.SIGINT)
    assert dev.status() == 0
    assert "work is done" in dev.output
    assert gone(*dev.pids)
