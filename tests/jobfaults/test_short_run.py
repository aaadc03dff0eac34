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

from tests.faults.processes import ROOT
from tests.jobfaults.faults import CATALOGUE

RUN_SECONDS = 280
JOBS = 36
ORDER = "child_kill,drop,celery_kill,store_kill,gateway_kill,runworker_kill,celery_kill_all"


@pytest.mark.xdist_group("faults")
@pytest.mark.timeout(RUN_SECONDS + 20)
def test_every_job_ends_once_for_whoever_asked_while_everything_goes_wrong_once(tmp_path: Path) -> None:
    assert set(ORDER.split(",")) == set(CATALOGUE)
    seed = os.environ.get("FAULTS_SEED") or str(secrets.randbelow(1_000_000))
    words = ["--seed", seed, "--kinds", ORDER, "--jobs", "1", "--per-episode", str(JOBS), "--state", str(tmp_path)]
    command = [sys.executable, "-m", "tests.jobfaults", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == 0, f"{' '.join(command)} says:\n{done.stdout}\n{done.stderr}"
