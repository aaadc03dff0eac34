"""The old project, moved: its own tests pass, and it works in processes of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
from socket import socket

import pytest
import websockets

from tests.migration.moving import changed_lines, moved


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return moved(tmp_path_factory.mktemp("moved"))


@pytest.fixture(scope="module")
def environment(project, redis_url):
    return {
        **os.environ,
        "REDIS_URL": redis_url,
        "DJANGO_SETTINGS_MODULE": "parlour.settings",
        "PYTHONPATH": f"{Path.cwd()}{os.pathsep}{project}",
    }


def test_only_imports_and_settings_differ(project):
    changes = changed_lines(project)
    assert len(changes) > 10
    assert [
        (file, line)
        for file, line in changes
        if file != "parlour/settings.py" and not line.startswith(("from chancelery", "import chancelery"))
    ] == []


def test_its_own_tests_pass(project, environment):
    done = subprocess.run(
        [sys.executable, "manage.py", "test"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Ran 4 tests" in done.stderr


class Site:
    """The project's processes, and what a browser does there."""

    def __init__(self, port):
        self.port = port
        self.cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path):
        with self._opener.open(f"http://127.0.0.1:{self.port}{path}", timeout=30) as response:
            return response.read().decode()

    def socket(self, path):
        cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        return websockets.connect(
            f"ws://127.0.0.1:{self.port}{path}", additional_headers={"Cookie": cookie} if cookie else {}
        )


@pytest.fixture(scope="module")
def site(project, environment):
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v", "0"], cwd=project, env=environment, check=True, timeout=60
    )
    commands = [
        [sys.executable, "-m", "daphne", "-v", "0", "-b", "127.0.0.1", "-p", str(port), "parlour.asgi:channel_layer"],
        [sys.executable, "manage.py", "runworker"],
        [sys.executable, "manage.py", "rundelay", "--sleep", "0.05"],
    ]
    processes = [
        subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.DEVNULL) for command in commands
    ]
    found = Site(port)
    try:
        _await_page(found)
        yield found
    finally:
        for process in processes:
            process.terminate()
        assert [process.wait(30) for process in processes] == [0, 0, 0]


def _await_page(site):
    async def answered():
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):
                    return await asyncio.to_thread(site.get, "/")
                await asyncio.sleep(0.1)

    assert json.loads(asyncio.run(answered())) == {"rooms": []}


async def heard(client):
    return json.loads(await asyncio.wait_for(client.recv(), 30))


def test_rooms_users_and_views(site):
    assert site.get("/enter/ada/") == "Welcome, ada"

    async def talk():
        async with site.socket("/chat/lobby/") as one, site.socket("/chat/lobby/") as other:
            await one.send('{"say": "hi"}')
            assert await heard(one) == await heard(other) == {"author": "ada", "text": "hi"}
            await asyncio.to_thread(site.get, "/say/lobby/?text=hello")
            assert await heard(one) == await heard(other) == {"author": "the web", "text": "hello"}

    asyncio.run(talk())
    assert json.loads(site.get("/"))["rooms"] == ["lobby"]


def test_a_delayed_message_comes_by_the_database(site):
    async def remind():
        async with site.socket("/chat/attic/") as client:
            await client.send('{"remind": "tea"}')
            assert await heard(client) == {"reminder": "tea"}

    asyncio.run(remind())


def test_streams_of_one_socket(site):
    site.get("/enter/ada/")

    async def live():
        async with site.socket("/live/") as client:
            await client.send('{"stream": "echo", "payload": {"n": 1}}')
            assert await heard(client) == {"stream": "echo", "payload": {"echo": {"n": 1}}}
            await client.send(
                '{"stream": "rooms", "payload": {"action": "create", "data": {"slug": "cellar", "secret": "x"}}}'
            )
            told = await heard(client)
            assert told["payload"]["data"] == {"slug": "cellar", "topic": ""}
            refused = {"action": "delete", "pk": told["payload"]["pk"]}
            await client.send(json.dumps({"stream": "rooms", "payload": refused}))
            assert "errors" in (await heard(client))["payload"]

    asyncio.run(live())
    assert "cellar" in json.loads(site.get("/"))["rooms"]


def test_a_response_that_comes_later(site):
    async def wait():
        waiting = asyncio.create_task(asyncio.to_thread(site.get, "/wait/"))
        while not waiting.done():
            await asyncio.to_thread(site.get, "/release/")
        return await waiting

    assert asyncio.run(wait()) == "Worth the wait"
