"""
One of the client processes of `python -m tests.benchmarks.memory`: opens many sockets, holds them, closes them.

Orders: `{"open": count}`, `{"close": true}`, `{"churn": count}`. Each comes back with how many sockets it failed with.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

from tests.benchmarks.children import Answer, Order, obey_on_loop
from tests.benchmarks.client import RefusedError, Socket, open_socket

AT_ONCE = 10


class Clients:
    """All sockets of this process, from a source address of its own: the ports of one would not suffice."""

    def __init__(self, port: int, path: str, source: str) -> None:
        self._port, self._path, self._source = port, path, source
        self._held: list[Socket] = []

    async def handle(self, order: Order) -> Answer:
        if "open" in order:
            return await self._at_once(order["open"], self._hold)
        if "churn" in order:
            return await self._at_once(order["churn"], self._visit)
        lost = sum(socket.lost.done() for socket in self._held)
        for first in range(0, len(self._held), AT_ONCE):
            await asyncio.gather(*(socket.close(10) for socket in self._held[first : first + AT_ONCE]))
        self._held.clear()
        return {"failed": lost, "why": "lost while idle"}

    async def _at_once(self, count: int, step: Callable[[], Awaitable[None]]) -> Answer:
        places, failures = iter(range(count)), []

        async def client() -> None:
            for _ in places:
                try:
                    await step()
                except (RefusedError, OSError, TimeoutError) as error:
                    failures.append(f"{type(error).__name__} {error}")

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        return {"failed": len(failures), "why": failures[-1] if failures else ""}

    async def _hold(self) -> None:
        self._held.append(await self._open())

    async def _visit(self) -> None:
        await (await self._open()).close(10)

    async def _open(self) -> Socket:
        return await open_socket(self._port, self._path, patience_seconds=60, source=self._source)


def main() -> None:
    try:
        from uvloop import run  # noqa: PLC0415 (any loop will do)
    except ImportError:
        run = asyncio.run
    run(obey_on_loop(Clients(int(sys.argv[1]), *sys.argv[2:]).handle))


if __name__ == "__main__":
    main()
