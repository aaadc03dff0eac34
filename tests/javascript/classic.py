"""
Makes the classic script of the bridge from its modules: `python -m tests.javascript.classic` writes it.

The modules import each other by lines of their own, and have no two names alike at their top.
"""

from __future__ import annotations

import re
from pathlib import Path

import chancelery

SCRIPTS = Path(chancelery.__file__).parent / "static" / "chancelery" / "js"
MODULES = ["events.js", "line.js", "claims.js", "jobs.js", "bridge.js"]
"""Each after those that it imports."""
CLASSIC = SCRIPTS / "websocketbridge.js"
_HEAD = """/*
 * The bridge as a classic script: new channels.WebSocketBridge(), or new chancelery.WebSocketBridge().
 *
 * Made of bridge.js and what it imports by tests/javascript/classic.py: change those.
 */

(() => {
"use strict";

"""
_FOOT = """
const names = { WebSocketBridge, JobError };
globalThis.chancelery = { ...globalThis.chancelery, ...names };
globalThis.channels = { ...globalThis.channels, ...names };
})();
"""
_IMPORT_OR_EXPORT = re.compile(r"^(?:import \{.*\} from .*;|export \{.*\};)\n", re.MULTILINE)


def made() -> str:
    """Return the classic script as the modules have it."""
    parts = (_plain((SCRIPTS / module).read_text()) for module in MODULES)
    return _HEAD + "\n".join(parts) + _FOOT


def _plain(source: str) -> str:
    """Return a module without its imports and exports, and without blank lines where these were."""
    without = re.sub(r"^export (?=\w)", "", _IMPORT_OR_EXPORT.sub("", source), flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", without).strip("\n") + "\n"


if __name__ == "__main__":
    CLASSIC.write_text(made())
