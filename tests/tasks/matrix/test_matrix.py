"""Every canvas, ended in every way: one terminal event each, of the right kind, with the right data."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from typing import Any

import pytest

from chancelery.tasks import Job, escalate
from tests.tasks.conftest import ENDS, Socket, ends_of
from tests.tasks.matrix.cells import ENDINGS, SHAPES, Ending, applies
from tests.tasks.project.tasks import number

PATIENCE_SECONDS = 90
CELLS = [(shape, end) for shape in SHAPES for end in ENDINGS if applies(shape, end)]


class Board:
    """Escalates all cells on one socket, does to them what is to be done, and hears how they end."""

    def __init__(self, celery_app: Any) -> None:
        self.jobs: dict[tuple[str, str], Job] = {}
        self.frames: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._control = celery_app.control
        self._socket = Socket()
        self._during: dict[str, Ending] = {}
        self._open: set[str] = set()

    def run(self) -> None:
        for shape, end in CELLS:
            self._start(shape, end)
            self._read()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._open and time.monotonic() < deadline:
            self._read(block=True)

    def _start(self, shape: str, end: Ending) -> None:
        make, _, position = SHAPES[shape]
        job = escalate(self._socket.message(), make(end, self._socket.name))
        self.jobs[shape, end.name] = job
        self._open.add(job.id)
        if end.act and end.how == "waits":
            self._during[job.id] = end
        elif end.act:
            self._act(end, job.id, f"{job.id}-{position}")

    def _act(self, end: Ending, job_id: str, task_id: str) -> None:
        if end.act == "cancel":
            Job(job_id).cancel()
        else:
            self._control.revoke(task_id, terminate=end.how == "waits")

    def _read(self, *, block: bool = False) -> None:
        while (found := self._socket.layer.receive([self._socket.process], block=block)[1]) is not None:
            self._heard(found["text"])
            block = False

    def _heard(self, text: str) -> None:
        if not text.startswith("{"):
            job_id, task_id = text.split()
            self._act(self._during[job_id], job_id, task_id)
            return
        frame = json.loads(text)
        self.frames[frame["job"]].append(frame)
        if frame["kind"] in ENDS:
            self._open.discard(frame["job"])


@pytest.fixture(scope="module")
def board(worker: Any, celery_app: Any) -> Board:
    found = Board(celery_app)
    found.run()
    return found


@pytest.mark.timeout(PATIENCE_SECONDS + 60)
@pytest.mark.parametrize(("shape", "end"), CELLS, ids=[f"{shape}: {end.name}" for shape, end in CELLS])
def test_a_canvas_ends_once_and_as_it_should(shape: str, end: Ending, board: Board) -> None:
    job = board.jobs[shape, end.name]
    assert ends_of(job) == [end.kind]
    told = [frame for frame in board.frames[job.id] if frame["kind"] in ENDS]
    assert len(told) == 1
    assert told[0]["data"] == _expected(shape, end, told[0]["data"])
    assert board.frames[job.id][-1] == told[0]
    assert job.state == end.kind


def _expected(shape: str, end: Ending, data: Any) -> Any:
    if end.kind == "result":
        return SHAPES[shape][1]
    if end.kind == "cancelled":
        return {"reason": {"cancel": "cancelled"}.get(end.act, data["reason"])}
    return {"code": end.code, "reference": data["reference"], "message": end.message}


def test_the_worker_is_as_good_as_before(board: Board) -> None:
    socket = Socket()
    escalate(socket.message(), number.s(7))
    assert socket.end()["data"] == 7


def test_the_matrix(board: Board) -> None:
    """Print it: `pytest -s`."""
    ended = {cell: "+".join(ends_of(job)) or job.state for cell, job in board.jobs.items()}
    width = max(map(len, SHAPES))
    print("\n" + " " * width, *(f"{end.name:>16}" for end in ENDINGS))
    for shape in SHAPES:
        print(f"{shape:{width}}", *(f"{ended.get((shape, end.name), ''):>16}" for end in ENDINGS))
    assert len(ended) >= 60
