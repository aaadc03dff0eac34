"""
Lua scripts, loaded from files beside the code that calls them.

A script is called by its SHA; the server that does not know it (a new one, or one that was restarted) is given it and
called again, which is safe: it answers NOSCRIPT before anything ran.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    import redis
    import redis.asyncio


class Script:
    """A Lua script and its SHA."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: redis.Redis, keys: list[str], args: list[Any]) -> Any:
        """Run it and return its answer."""
        try:
            return client.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return client.execute_command("EVAL", self.source, len(keys), *keys, *args)

    async def run(self, client: redis.asyncio.Redis, keys: list[str], args: list[Any]) -> Any:
        """Run it from an event loop and return its answer."""
        try:
            return await client.execute_command("EVALSHA", self._sha, len(keys), *keys, *args)
        except NoScriptError:
            return await client.execute_command("EVAL", self.source, len(keys), *keys, *args)


@functools.cache
def load(*parts: tuple[str, str]) -> Script:
    """Return the script made of *parts*, each (package, file name), one after the other."""
    return Script("\n".join(resources.files(package).joinpath(name).read_text("utf-8") for package, name in parts))
