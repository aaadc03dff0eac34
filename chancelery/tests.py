"""The test kit's old name in Channels 1. It is `chancelery.test`."""

from __future__ import annotations

import warnings
from typing import Any

from chancelery import test


def __getattr__(name: str) -> Any:
    found = getattr(test, name)
    warnings.warn("chancelery.tests is an old name: import from chancelery.test", DeprecationWarning, stacklevel=2)
    return found
