"""The talk's first project, deployed by the talk's three commands."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from socket import socket

import pytest
import websockets

PROJECT = Path(__file__).parent / "project"


def free_port():
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def start(redis_url):
    """Start a command in the project's folder, as a shell would."""
    processes = []
    environment = {**os.environ, "REDIS_URL": redis_url, "PYTHONPATH": f"{Path.cwd()}{os.pathsep}{PROJECT}"}

    def start(*command):
        processes.append(
            subprocess.Popen(
                [str(Path(sys.executable).parent / command[0]), *command[1:]],
                cwd=PROJECT,
                env={**environment, "DJANGO_SETTINGS_MODULE": "myproject.settings"},
                stdout=subprocess.DEVNULL,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.terminate()
    assert [process.wait(20) for process in processes] == [0] * len(processes)


async def echoed(port, text):
    """What the socket answers, once there is a server that answers at all."""
    async with asyncio.timeout(60):
        while True:
            try:
                async with websockets.connect(f"ws://127.0.0.1:{port}/chat/") as client:
                    await client.send(text)
                    return await client.recv()
            except OSError:
                await asyncio.sleep(0.1)


def page(port):
    async def fetched():
        async with asyncio.timeout(60):
            while True:
                try:
                    return await asyncio.to_thread(_fetched, f"http://127.0.0.1:{port}/")
                except OSError:
                    await asyncio.sleep(0.1)

    return asyncio.run(fetched())


def _fetched(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return response.read()


def test_gunicorn_daphne_and_runworker_serve_the_talks_project(start):
    web, sockets = free_port(), free_port()
    start("gunicorn", "-b", f"127.0.0.1:{web}", "myproject.wsgi")
    start("daphne", "-b", "127.0.0.1", "-p", str(sockets), "myproject.asgi:channel_layer")
    start("django-admin", "runworker")
    assert page(web) == b"Hello world!"
    assert asyncio.run(echoed(sockets, "hi")) == "hi"
