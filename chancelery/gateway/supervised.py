"""
What keeps the gateway's own tasks going: they back off while the layer is away, and outlive their own faults.

Knows nothing of what they do.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from chancelery.exceptions import LayerUnavailable
from chancelery.log import Burst, room

_FIRST_PAUSE_SECONDS: Final = 0.05
_LONGEST_PAUSE_SECONDS: Final = 0.4
"""With jitter, 0.6 seconds: sockets are served again within a second of the layer being back."""

_logger = room("gateway")


def jittered(seconds: float) -> float:
    """Return about *seconds*, so that many processes do not come back at the same moment."""
    return seconds * random.uniform(0.5, 1.5)  # noqa: S311 - nothing secret


def absorb_cancellation() -> None:
    """Tell asyncio that the cancellation which was just caught is not passed on."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


async def keep(step: Callable[[], Awaitable[None]], role: str, away: Burst) -> None:
    """
    Do *step* again and again until cancelled. A step that raises is done again later: it must allow that.

    away: says that the layer does not answer, for all tasks together, since they notice it together.
    """
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            await step()
        except LayerUnavailable as error:
            away.say("away", "the channel layer does not answer, trying again: %s", error)
        except Exception:  # the gateway's one catch-all: without this task every socket would hang
            _logger.exception("fault in the gateway's %s, going on", role)
        else:
            pause = _FIRST_PAUSE_SECONDS
            continue
        await asyncio.sleep(jittered(pause))
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
