"""Processes that take orders on standard input, a JSON object a line, and answer each with one line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Self

from tests.benchmarks.peers import ROOT

STOP_SECONDS = 10

Order = dict[str, Any]
Answer = dict[str, Any]


class ChildError(Exception):
    """A child ended, or did not do what it was told."""


class Child:
    """One such process: `python -m module arguments…`. Ends with the context."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def order(self, **order: Any) -> None:
        """Give an order; `answer` returns what becomes of it."""
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Answer:
        """Wait for the answer to the oldest order. Raises: ChildError."""
        line = self._process.stdout.readline()
        if not line:
            raise ChildError(f"{self._process.args[2]} ended before it answered; its error stands above")
        return json.loads(line)


def obey(handle: Callable[[Order], Answer]) -> None:
    """In the child: answer every order with what *handle* returns, until there are no more."""
    for line in sys.stdin:
        print(json.dumps(handle(json.loads(line))), flush=True)


async def obey_on_loop(handle: Callable[[Order], Awaitable[Answer]]) -> None:
    """`obey`, on an event loop that goes on meanwhile."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(await handle(json.loads(line))), flush=True)
