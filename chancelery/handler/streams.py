"""A response's async content, for a handler that is none: part by part, as it comes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterator

from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.db import connections


def stepped(parts: AsyncIterable[bytes]) -> Iterator[bytes]:
    """
    Yield what *parts* yields, on an event loop of its own, which lives as long as the iteration.

    Django's own way would wait for all of it first. Raises: what *parts* raises.
    """
    with asyncio.Runner() as runner:
        looked_after = _looked_after(parts)
        try:
            while (part := runner.run(anext(looked_after, None))) is not None:
                yield part
        finally:
            runner.run(looked_after.aclose())


async def _looked_after(parts: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    """Yield from *parts*. Its connections to the database belong to a thread of its own, and are closed behind it."""
    async with ThreadSensitiveContext():
        try:
            async with contextlib.aclosing(aiter(parts)) as iterator:  # type: ignore[type-var] # a response's is one that closes
                async for part in iterator:
                    yield part
        finally:
            await sync_to_async(connections.close_all)()
