"""For a process that is a `Servant`: its specification is one line of JSON on standard input, then come its orders."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any


async def obey_orders(make: Callable[[dict[str, Any]], object]) -> None:
    """
    Have what *make* returns for the specification obey: each order is the name of its method, and the one argument.

    Orders are obeyed side by side, until there are no more. Raises: what one of them raises.
    """
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    servant = make(json.loads(await orders.readline()))
    async with asyncio.TaskGroup() as group:
        under_way = []
        while line := await orders.readline():
            word, _, rest = line.decode().strip().partition(" ")
            obey: Callable[[str], Coroutine[Any, Any, None]] = getattr(servant, word)
            under_way.append(group.create_task(obey(rest)))
        for task in under_way:
            task.cancel()


def say(what: str, value: object) -> None:
    """Answer an order."""
    print(json.dumps({what: value}), flush=True)
