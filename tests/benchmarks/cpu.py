"""CPU seconds of processes and of everything they forked, from /proc (Linux only)."""

from __future__ import annotations

import os
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return *pid* and all its living descendants."""
    found = [pid]
    for parent in found:
        for listing in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, listing.read_text().split())
            except OSError:
                continue
    return found


def seconds(pid: int) -> float:
    """Return user and system time of *pid* alone, its reaped children included; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_PER_SECOND


def by_role(roles: dict[str, list[int]]) -> dict[str, float]:
    """Return the CPU seconds spent so far in each role's processes and their descendants."""
    return {role: sum(seconds(member) for pid in pids for member in family(pid)) for role, pids in roles.items()}
