"""
A websocket client that costs a few microseconds per frame, so that the load generator is not what is measured.

It masks with the key 00000000, which RFC 6455 allows and which leaves the payload as it is: frames are built once and
written as they stand. Standard library only; every system gets the same client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The pair that RFC 6455, section 1.3, gives as its example."""
TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
SHORT = 126
"""Payloads below this length have a header of two bytes."""


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return *payload* (under 64 KiB) as one final, masked frame."""
    size = len(payload)
    head = bytes((opcode, 0x80 | size)) if size < SHORT else bytes((opcode, 0xFE)) + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


class RefusedError(Exception):
    """The server did not accept the websocket, or dropped it."""


class Socket(asyncio.Protocol):
    """One websocket. `on_text(payload)` is called with every text frame; set it at any time."""

    def __init__(self, host: str, path: str, on_text: Callable[[bytes], Any]) -> None:
        loop = asyncio.get_running_loop()
        self.on_text = on_text
        self.opened: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY.decode()}\r\n\r\n"
        ).encode()
        self._rest = b""
        self._shaken = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.write = transport.write
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(RefusedError(f"connection lost before it was accepted: {exc}"))
        if not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if not self._shaken:
            data = self._shake(data)
        while len(data) > 1:
            size, start = data[1], 2
            if size == SHORT:
                size, start = int.from_bytes(data[2:4], "big"), 4
            elif size > SHORT:
                raise RefusedError("a frame above 64 KiB is not expected here")
            end = start + size
            if len(data) < end:
                break
            if data[0] == TEXT:
                self.on_text(data[start:end])
            else:
                self._control(data[0], data[start:end])
            data = data[end:]
        self._rest = data

    async def close(self, patience_seconds: float = 2) -> None:
        """Close with 1000 and wait until the server hung up; cut the connection when it does not."""
        if self.transport.is_closing():
            return
        self.write(frame(b"\x03\xe8", CLOSE))
        await asyncio.wait((self.lost,), timeout=patience_seconds)
        self.transport.abort()

    def _shake(self, data: bytes) -> bytes:
        head, end, rest = data.partition(b"\r\n\r\n")
        if not end:
            self._rest = data
            return b""
        self._shaken = True
        if not self.opened.done():
            if head.startswith(b"HTTP/1.1 101") and ACCEPT in head:
                self.opened.set_result(None)
            else:
                self.opened.set_exception(RefusedError(head.split(b"\r\n")[0].decode(errors="replace")))
                self.transport.abort()
                return b""
        return rest

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.write(frame(payload, PONG))
        elif opcode == CLOSE:
            self.transport.close()


def ignore(_text: bytes) -> None:
    """Take a frame that nobody waits for."""


async def open_socket(port: int, path: str, patience_seconds: float = 15, source: str | None = None) -> Socket:
    """Return an accepted websocket to 127.0.0.1, from *source* if set. Raises: RefusedError, TimeoutError, OSError."""
    loop = asyncio.get_running_loop()
    address = f"127.0.0.1:{port}"
    async with asyncio.timeout(patience_seconds):
        local = (source, 0) if source else None
        _, socket = await loop.create_connection(
            lambda: Socket(address, path, ignore), "127.0.0.1", port, local_addr=local
        )
        try:
            await socket.opened
        except BaseException:
            socket.transport.abort()
            raise
    return socket


async def open_sockets(port: int, path: str, count: int, at_once: int = 20) -> list[Socket]:
    """Return *count* accepted websockets."""
    sockets: list[Socket] = []
    while len(sockets) < count:
        batch = min(at_once, count - len(sockets))
        sockets += await asyncio.gather(*(open_socket(port, path) for _ in range(batch)))
    return sockets
