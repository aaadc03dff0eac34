"""
A TCP proxy in front of Redis that can be told to misbehave: `python -m tests.faults.proxy PORT NAME …`.

Listens on a port of its own for each name, and prints them as JSON. Then reads orders from standard input, one JSON
object a line: `{"do": …, "to": [name, …]}` with

    delay, delay     every chunk, both ways, comes so much later
    cut              connections are reset
    mute, way        what goes "up" (to Redis) or "down" vanishes: half-open connections, until `heal` resets them
    forget           nothing passes any more on the connections that there are, as after a NAT's restart; new ones work
    shut             new connections are refused and old ones reset, until `heal`
    heal             as in the beginning

Ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass, field
from typing import Any

CHUNK = 65536


@dataclass
class Link:
    """One listening port, its mood, and its connections."""

    upstream: int
    delay: float = 0.0
    muted: str = ""
    shut: bool = False
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    tainted: set[asyncio.StreamWriter] = field(default_factory=set)
    """Both ends of connections on which something vanished: no use any more."""
    forgotten: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it."""
        if self.shut:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, up_writer}
        self.open |= both
        ways = [
            asyncio.ensure_future(self._carry(reader, up_writer, "up", both)),
            asyncio.ensure_future(self._carry(up_reader, writer, "down", both)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in both:
            end.transport.abort()
        self.open -= both
        self.tainted -= both
        self.forgotten -= both
        await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str, both: set[asyncio.StreamWriter]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if way == self.muted or writer in self.forgotten:
                    self.tainted |= both
                    continue
                writer.write(data)
                await writer.drain()

    def forget(self) -> None:
        """Have every connection be half-open for good."""
        self.forgotten |= self.open

    def cut(self) -> None:
        """Reset every connection."""
        self._abort(self.open)

    def heal(self) -> None:
        """Behave again; what is half-open is reset, as a peer would find out in the end."""
        self.delay, self.muted, self.shut = 0.0, "", False
        self._abort(self.tainted)

    @staticmethod
    def _abort(writers: set[asyncio.StreamWriter]) -> None:
        for writer in list(writers):
            writer.transport.abort()


def obey(order: dict[str, Any], links: dict[str, Link]) -> None:
    """Do what *order* says."""
    for link in (links[name] for name in order["to"]):
        match order["do"]:
            case "delay":
                link.delay = order["delay"]
            case "mute":
                link.muted = order["way"]
            case "forget":
                link.forget()
            case "shut":
                link.shut = True
                link.cut()
            case "cut":
                link.cut()
            case "heal":
                link.heal()


async def main(upstream: int, names: list[str]) -> None:
    links = {name: Link(upstream) for name in names}
    servers = [await asyncio.start_server(link.serve, "127.0.0.1", 0) for link in links.values()]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps(dict(zip(names, ports, strict=True))), flush=True)
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    while line := await orders.readline():
        obey(json.loads(line), links)
        print("{}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
