"""
Lua scripts, loaded from files beside the code that calls them, as functions of the server.

Each script becomes a library with one function (`FUNCTION LOAD`), named after its content: processes of two versions
of this package each find their own. Against EVALSHA it saves setting up what the scripts share at every call, about
12 µs of the server's time. A server that does not know the function (a new one, or one that lost its data) is given it
and called again, which is safe: it answers before anything ran. One whose memory is full takes no library: what has to
run even then is sent as a script of its own.
"""

from __future__ import annotations

import functools
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from redis.exceptions import OutOfMemoryError, ResponseError

from chancelery.exceptions import LayerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import redis


class Script:
    """
    A function on the server.

    shared: Lua that defines what the script uses; it is run once, when the library is loaded.
    body: Lua that is run at each call, with KEYS and ARGV, and returns the answer.
    even_full: whether it is run when the server's memory is full, as what takes work off it has to be.
    """

    def __init__(self, shared: str, body: str, *, even_full: bool = False) -> None:
        self.even_full = even_full
        flags = "'allow-oom'" if even_full else ""
        digest = hashlib.sha256(f"{shared}\0{body}\0{flags}".encode()).hexdigest()[:16]
        self.function = f"chancelery_{digest}"
        text = f"{shared}\nlocal function script(KEYS, ARGV)\n{body}\nend"
        self.library = (
            f"#!lua name={self.function}\n{text}\n"
            f"redis.register_function{{function_name='{self.function}', callback=script, flags={{{flags}}}}}\n"
        )
        self._alone = f"#!lua flags=allow-oom\n{text}\nreturn script(KEYS, ARGV)\n"

    def __call__(self, client: redis.Redis, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it through redis-py's *client* and return its answer."""
        return self.run(client.execute_command, keys, args)

    def run(self, call: Callable[..., Any], keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it through *call*, which sends one command and returns the answer."""
        try:
            return call("FCALL", self.function, len(keys), *keys, *args)
        except ResponseError as error:
            if not is_unknown(error):
                raise
        try:
            call("FUNCTION", "LOAD", self.library)
        except (ResponseError, LayerUnavailable) as error:
            if self.even_full and is_full(error):
                return call(*self.alone(keys, args))
            if not is_loaded(error):
                raise
        return call("FCALL", self.function, len(keys), *keys, *args)

    def alone(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        """Return the command that runs it without its library."""
        return ("EVAL", self._alone, len(keys), *keys, *args)


def is_unknown(error: ResponseError) -> bool:
    """Tell whether the server refused a call because it does not have the function."""
    return "Function not found" in str(error)


def is_full(error: Exception) -> bool:
    """Tell whether the server refused something because its memory is full."""
    return isinstance(error, OutOfMemoryError) or isinstance(error.__cause__, OutOfMemoryError)


def is_loaded(error: Exception) -> bool:
    """Tell whether the server refused a library because somebody else was faster."""
    return "already exists" in str(error)


@functools.cache
def load(*parts: tuple[str, str], even_full: bool = False) -> Script:
    """Return the script made of *parts*, each (package, file name): the last is the body, the others are shared."""
    *shared, body = (resources.files(package).joinpath(name).read_text("utf-8") for package, name in parts)
    return Script("\n".join(shared), body, even_full=even_full)
