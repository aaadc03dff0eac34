"""
One short run with every kind of fault, as part of the suite.

FAULTS_SEED sets where its random numbers begin. The long runs are a command of their own, see `__main__`.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.faults import CATALOGUE
from tests.faults.processes import ROOT

RUN_SECONDS = 280
ORDER = (
    "worker_kill,cut,gateway_freeze,delay,worker_freeze,client_kill,mute,vanish,store_kill,worker_terminate,shut,"
    "gateway_kill,client_pause,store_freeze,gateway_terminate"
)


@pytest.mark.xdist_group("faults")
@pytest.mark.timeout(RUN_SECONDS + 20)
def test_no_promise_is_broken_while_everything_goes_wrong_once(tmp_path: Path) -> None:
    assert set(ORDER.split(",")) == set(CATALOGUE)
    seed = os.environ.get("FAULTS_SEED") or str(secrets.randbelow(1_000_000))
    faults = str(len(CATALOGUE))
    words = ["--seed", seed, "--kinds", ORDER, "--faults", faults, "--keeps", "all", "--state", str(tmp_path)]
    command = [sys.executable, "-m", "tests.faults", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command)} says:\n{done.stdout}\n{done.stderr}"
