"""Tests in the words of Channels 1, run as projects run theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS = "tests.kit.project.settings"
DJANGO = ["django", "test", "tests.kit.project", "--pattern=examples.py", f"--settings={SETTINGS}"]
PYTEST = ["pytest", "tests/kit/project/examples.py", "-c", os.devnull, "-p", "pytest_django.plugin", f"--ds={SETTINGS}"]


@pytest.mark.parametrize(
    ("command", "told"),
    [([*DJANGO, "--parallel=2"], "Ran 9 tests"), ([*PYTEST, "-p", "no:cacheprovider"], "9 passed")],
    ids=["Django's runner in parallel", "pytest"],
)
def test_tests_of_channels_1_run(command, told):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", *command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert told in done.stdout + done.stderr


FORKED = """
import os, sys
import django.conf

django.conf.settings.configure()
from chancelery.test.protocol import protocol_server
assert "daphne.server" not in sys.modules
import daphne.server
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
protocol_server()
"""


def test_daphne_that_was_imported_before_a_fork_is_refused_with_what_to_do():
    done = subprocess.run(
        [sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 1
    assert 'take "daphne" out of INSTALLED_APPS for the tests, or run live tests without --parallel' in done.stderr
