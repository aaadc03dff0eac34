"""
What is done to a system, and what is counted. Runs in a process of its own, beside the servers.

Reads one JSON object from standard input, `{"load", "port", "seconds", "roles": {role: [pid, …]}, …}`, and prints one:
`{measure: {"per_second", "p50_ms", "p99_ms", "cpu_us": {role: …}, "client_share", "notes", …}}`. Knows no system by
name: all of them serve the same paths, /echo/, /member/, /send/, /task/ and /chord/. The loads `wait` and `neighbours`
want /wait/ and /slow/ besides.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys

from tests.benchmarks.calls import call, echo_calls, ready
from tests.benchmarks.client import RefusedError, open_socket
from tests.benchmarks.crowd import group
from tests.benchmarks.neighbours import neighbours
from tests.benchmarks.window import WARM_UP_SECONDS, Result, Spec, Window, clock

ECHO_SOCKETS, TASK_SOCKETS, CHORD_SOCKETS, WAITING_SOCKETS = 50, 20, 5, 200
CONNECTING_AT_ONCE = 20


async def connects(spec: Spec) -> Result:
    """CONNECTING_AT_ONCE clients connect, are accepted, close, and connect again."""
    window, failures, going = Window(spec["roles"]), [], True
    await ready(spec["port"], "/echo/", echo_calls(0))

    async def client() -> None:
        while going:
            start = clock()
            try:
                socket = await open_socket(spec["port"], "/echo/", patience_seconds=5)
            except (RefusedError, OSError, TimeoutError) as error:
                failures.append(str(error))
                continue
            window.latencies.append(clock() - start)
            await socket.close()

    clients = [asyncio.create_task(client()) for _ in range(CONNECTING_AT_ONCE)]
    await asyncio.sleep(WARM_UP_SECONDS)
    await window.measure(spec["seconds"])
    going = False
    await asyncio.wait(clients, timeout=10)
    window.note(len(failures), f"connects failed, the last with: {failures[-1] if failures else ''}")
    return window.result()


async def run(spec: Spec) -> dict[str, Result]:
    """Run one load; several measures may come of it."""
    if spec["load"] == "group":
        return await group(spec)
    if spec["load"] == "neighbours":
        return await neighbours(spec)
    if spec["load"] == "connects":
        return {"connects": await connects(spec)}
    calls = {
        "echo": [("echo", "/echo/", ECHO_SOCKETS)],
        "latency": [("latency", "/echo/", 1)],
        "wait": [("wait", "/wait/", WAITING_SOCKETS)],
        "celery": [
            ("task", "/task/", TASK_SOCKETS),
            ("task-latency", "/task/", 1),
            ("chord", "/chord/", CHORD_SOCKETS),
        ],
    }
    return {
        measure: await call({**spec, "path": path, "sockets": sockets})
        for measure, path, sockets in calls[spec["load"]]
    }


def main() -> None:
    try:
        from uvloop import run as run_loop  # noqa: PLC0415 (the peers' environment has it; any loop will do)
    except ImportError:
        run_loop = asyncio.run
    gc.disable()
    json.dump(run_loop(run(json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()
