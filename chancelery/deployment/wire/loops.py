"""The wire for event loops: one connection for each, and for each purpose, on which commands are pipelined."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import hiredis
import redis
from redis.exceptions import ResponseError

from chancelery.deployment import connections
from chancelery.deployment.scripts import Script, is_full, is_loaded, is_unknown
from chancelery.exceptions import LayerUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

_wires: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], LoopWire]] = (
    weakref.WeakKeyDictionary()
)


def loop_wire(url: str, purpose: str = "") -> LoopWire:
    """Return the running event loop's wire to *url*; those for different purposes do not wait for each other."""
    wires = _wires.setdefault(asyncio.get_running_loop(), {})
    found = wires.get((url, purpose))
    return found or wires.setdefault((url, purpose), LoopWire(url))


def close_loop_wires(url: str) -> None:
    """Close the running event loop's wires to *url*."""
    wires = _wires.get(asyncio.get_running_loop(), {})
    for key in [key for key in wires if key[0] == url]:
        wires.pop(key).close()


class LoopWire(asyncio.Protocol):
    """
    One connection for the running event loop. Commands are pipelined: a slow one delays those after it.

    A command that blocks on the server needs a wire of its own.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._transport: asyncio.Transport | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._connecting: asyncio.Lock | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._answered = 0
        self._reader = _new_reader()

    async def call(self, *command: Any) -> Any:
        """Send *command* and return the answer. Raises: LayerUnavailable, ResponseError."""
        if self._transport is None:
            await self._connect()
        found = await self._write(command)
        if isinstance(found, Exception):
            with connections.reporting(self._url):
                raise found
        return found

    async def run_after(self, blocking: Sequence[Any], script: Script, key: str, args: Sequence[Any]) -> Any:
        """Send *blocking*, which waits on the server, and *script* right behind it; return the script's answer."""
        if self._transport is None:
            await self._connect()
        self._write(blocking).add_done_callback(_retrieve)
        return await self.run(script, key, args)

    async def run(self, script: Script, key: str, args: Sequence[Any]) -> Any:
        """Run *script* with one key and return its answer."""
        try:
            return await self.call("FCALL", script.function, 1, key, *args)
        except ResponseError as error:
            if not is_unknown(error):
                raise
        try:
            await self.call("FUNCTION", "LOAD", script.library)
        except (ResponseError, LayerUnavailable) as error:
            if script.even_full and is_full(error):
                return await self.call(*script.alone([key], args))
            if not is_loaded(error):
                raise
        return await self.call("FCALL", script.function, 1, key, *args)

    def close(self) -> None:
        """Close the connection; what is under way fails."""
        if self._transport is not None:
            self._transport.abort()
            self._lose(ConnectionError("closed by this process"))

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Hand answers to those who wait for them, in order."""
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            if isinstance(answer, redis.ConnectionError):
                cast("asyncio.Transport", self._transport).abort()
                self._lose(answer)
                return
            waiting = self._waiting.popleft()
            self._answered += 1
            if not waiting.done():
                waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail whatever was under way; the next call opens a new connection."""
        self._lose(exc or ConnectionError("the server closed the connection"))

    def _lose(self, error: Exception) -> None:
        self._transport = None
        if self._watch is not None:
            self._watch.cancel()
        failed = connections.unavailable(self._url, error)
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(failed)

    def _write(self, command: Sequence[Any]) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            answer.set_exception(connections.unavailable(self._url, ConnectionError("it was closed meanwhile")))
            return answer
        self._waiting.append(answer)
        self._transport.write(hiredis.pack_command(tuple(command)))
        return answer

    async def _connect(self) -> None:
        self._connecting = self._connecting or asyncio.Lock()
        async with self._connecting:
            if self._transport is not None:
                return
            with connections.reporting(self._url):
                self._writer = await self._opened()
            self._transport = cast("asyncio.Transport", self._writer.transport)
            self._reader = _new_reader()
            self._transport.set_protocol(self)
            self._transport.resume_reading()
            self._answered = -1
            self._look()

    async def _opened(self) -> asyncio.StreamWriter:
        connection: Any = connections.async_pool(self._url, protocol=2).make_connection()  # type: ignore[no-untyped-call]
        await connection.connect()
        # redis-py has no public way to hand a connection over. The connection object must neither close nor read what
        # is ours now; the writer is kept, since it closes its transport when it is collected.
        writer: asyncio.StreamWriter = connection._writer  # noqa: SLF001
        connection._reader = connection._writer = None  # noqa: SLF001
        return writer

    def _look(self) -> None:
        """Give up on a connection on which nothing was answered for a whole socket timeout."""
        if self._transport is None:
            return
        if self._waiting and self._answered == 0:
            self._transport.abort()
            self._lose(TimeoutError(f"no answer for {connections.SOCKET_TIMEOUT_SECONDS} seconds"))
            return
        self._answered = 0
        self._watch = asyncio.get_running_loop().call_later(connections.SOCKET_TIMEOUT_SECONDS, self._look)


def _retrieve(answer: asyncio.Future[Any]) -> None:
    """Look at an answer that nobody waits for, or asyncio would complain of an exception that was never retrieved."""
    if not answer.cancelled():
        answer.exception()


def _new_reader() -> Any:
    return hiredis.Reader(replyError=_reply_error)


def _reply_error(text: str) -> Exception:
    if text.startswith("OOM"):
        return connections.FULL(text.removeprefix("OOM "))
    return redis.ConnectionError(text) if text.startswith(connections.NO_MASTER) else ResponseError(text)


os.register_at_fork(after_in_child=_wires.clear)
