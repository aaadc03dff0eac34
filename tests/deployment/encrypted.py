"""
Redis behind TLS, as a client finds it.

The embedded Valkey is built without TLS, so a front of the tests' own takes its place on the wire; a Redis of the
machine's that has TLS is used beside it where there is one.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.deployment.certificates import Certificates
from tests.deployment.processes import free_port, listening, stopped_at_the_end


@contextlib.contextmanager
def tls_front(backend_port: int, files: Certificates) -> Iterator[int]:
    """Serve TLS on the yielded port, asking for a client's certificate, and pass everything on to *backend_port*."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(files.authority))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(files.server, files.server_key)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    port = free_port()
    front = _Front(backend_port)
    asyncio.run_coroutine_threadsafe(front.serve(port, context), loop).result(30)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(front.close(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Front:
    def __init__(self, backend_port: int) -> None:
        self._backend_port = backend_port
        self._links: set[asyncio.Task[None]] = set()

    async def serve(self, port: int, context: ssl.SSLContext) -> None:
        self._server = await asyncio.start_server(self._link, "127.0.0.1", port, ssl=context)

    async def close(self) -> None:
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)
        for _ in range(100):  # handshakes that failed end by themselves
            await asyncio.sleep(0)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._links.add(link := asyncio.current_task())
        link.add_done_callback(self._links.discard)
        back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._backend_port)
        await asyncio.gather(_pump(reader, back_writer), _pump(back_reader, writer), return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.transport.abort()
            await writer.wait_closed()


def redis_with_tls() -> str | None:
    """Return the path of a Redis on this machine that is built with TLS, or None."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        return None
    said = subprocess.run(
        [found, "--port", "0", "--tls-port", "1"], capture_output=True, text=True, timeout=10, check=False
    )
    return found if "No tls-cert-file configured" in said.stdout else None


@contextlib.contextmanager
def tls_server(binary: str, files: Certificates, folder: Path) -> Iterator[int]:
    """Run *binary* with TLS only, asking for a client's certificate; yield its port."""
    port = free_port()
    options = {
        "port": 0,
        "tls-port": port,
        "bind": "127.0.0.1",
        "save": "",
        "dir": folder,
        "tls-cert-file": files.server,
        "tls-key-file": files.server_key,
        "tls-ca-cert-file": files.authority,
    }
    command = [binary, *(part for name, value in options.items() for part in (f"--{name}", str(value)))]
    with stopped_at_the_end(command, folder / "tls.log"):
        listening(port)
        yield port
