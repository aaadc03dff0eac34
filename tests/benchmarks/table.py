"""Medians over the rounds, and the one table that they make."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.report import Cell, Table, middle

MEASURES = {
    "echo": "echo, 50 sockets, one frame in flight each: round trips",
    "latency": "echo, 1 socket: round trips",
    "group": "group of 400, 1 sender that sends again when all 400 have it: deliveries",
    "group-senders": "group of 400, 8 senders that do so: deliveries",
    "group-pace": "group of 400, 10 sends per second: deliveries",
    "connects": "connects, 20 at once: accepted, then closed",
    "task": "socket → Celery task → socket, 20 sockets, one in flight each: results",
    "task-latency": "socket → Celery task → socket, 1 socket: results",
    "chord": "socket → chord of 10 → socket, 5 sockets, one in flight each: results",
}
ROLES = ("server", "worker", "celery", "redis")
OURS = "chancelery"
HEAD = (
    f"{'':28}{'per second':>11}{'±%':>5}{'p50 ms':>9}{'p99 ms':>9}{'got %':>8}  "
    + "".join(f"{role:>8}" for role in ROLES)
    + f"{'sum':>8}{'client':>8}  {OURS}"
)

Result = dict[str, Any]
Rounds = dict[str, dict[str, list[Result]]]
"""measure -> system -> one result per round."""


def medians(rounds: list[Result]) -> Result:
    """Return the median of each number, and how far the rounds lie apart."""
    rates = [result["per_second"] for result in rounds]
    summary: Result = {
        key: middle([result.get(key) for result in rounds])
        for key in ("per_second", "p50_ms", "p99_ms", "delivered_percent", "client_share")
    }
    roles = [role for role in ROLES if any(role in result["cpu_us"] for result in rounds)]
    summary["cpu_us"] = {role: middle([result["cpu_us"].get(role) for result in rounds]) for role in roles}
    comparable = len(rates) > 1 and summary["per_second"]
    summary["spread_percent"] = 50 * (max(rates) - min(rates)) / summary["per_second"] if comparable else None
    summary["rounds"] = len(rounds)
    summary["notes"] = sorted({note for result in rounds for note in result["notes"]})
    return summary


def summarise(rounds: Rounds) -> dict[str, dict[str, Result]]:
    return {
        measure: {system: medians(results) for system, results in rounds[measure].items()}
        for measure in MEASURES
        if measure in rounds
    }


def lines(summary: dict[str, dict[str, Result]], failures: dict[str, list[str]]) -> list[str]:
    """Return the table, a block per measure, and below it what went wrong."""
    table = [HEAD]
    for measure, systems in summary.items():
        ours = _ours(measure, systems)
        table += ["", MEASURES[measure]]
        table += [row(name, result, ours) for name, result in systems.items()]
    said = notes(summary, {})
    table += ["", "notes", *(f"  {note}" for note in said)] if said else []
    for name, reasons in failures.items():
        table += ["", f"{name} FAILED in {len(reasons)} of its loads; the first:", reasons[0]]
    return table


def notes(summary: dict[str, dict[str, Result]], failures: dict[str, list[str]]) -> list[str]:
    """Return what went wrong, a line each."""
    found = [
        f"{measure}, {name}: {note}"
        for measure, systems in summary.items()
        for name, result in systems.items()
        for note in result["notes"]
    ]
    return found + [f"{name} FAILED: {reasons[0].splitlines()[0]}" for name, reasons in failures.items()]


def _ours(measure: str, systems: dict[str, Result]) -> Result | None:
    return None if measure == "group-pace" else systems.get(OURS)  # the clock, not the system, sets that rate


def tables(summary: dict[str, dict[str, Result]]) -> list[Table]:
    """Return one table per measure, with the columns that have something in them."""
    return [_filled(MEASURES[measure], systems, measure) for measure, systems in summary.items()]


def _filled(title: str, systems: dict[str, Result], measure: str) -> Table:
    ours = _ours(measure, systems)
    columns: dict[str, list[Cell]] = {"": list(systems)}
    for name, result in systems.items():
        cpu = result["cpu_us"]
        share = result["client_share"]
        cells: dict[str, Cell] = {
            "per second": result["per_second"],
            "±%": result["spread_percent"],
            "p50 ms": result["p50_ms"],
            "p99 ms": result["p99_ms"],
            "got %": result["delivered_percent"],
            **{f"{role} µs": cpu.get(role) for role in ROLES},
            "sum µs": sum(filter(None, cpu.values())) if cpu else None,
            "client %": 100 * share if share else None,
            f"{OURS} does": ratio(name, result, ours) or None,
        }
        for key, cell in cells.items():
            columns.setdefault(key, []).append(cell)
    filled = {key: column for key, column in columns.items() if any(cell is not None for cell in column)}
    return Table(title, list(filled), list(zip(*filled.values(), strict=True)))


def row(name: str, result: Result, ours: Result | None) -> str:
    cpu = result["cpu_us"]
    costs = "".join(number(cpu.get(role), 8) for role in ROLES)
    client = number(100 * result["client_share"], 7, "%") if result["client_share"] else number(None, 8)
    return (
        f"  {name:26}{number(result['per_second'], 11)}{number(result['spread_percent'], 5)}"
        f"{number(result['p50_ms'], 9)}{number(result['p99_ms'], 9)}{number(result['delivered_percent'], 8)}  "
        f"{costs}{number(sum(filter(None, cpu.values())) if cpu else None, 8)}{client}"
        f"  {ratio(name, result, ours)}"
    ).rstrip()


def ratio(name: str, result: Result, ours: Result | None) -> str:
    if ours is None or name == OURS or not result["per_second"]:
        return ""
    return f"{ours['per_second'] / result['per_second']:.2f}x"


def number(value: float | None, width: int, unit: str = "") -> str:
    if value is None:
        return f"{'-':>{width}}{unit and ' '}"
    for limit, places in ((1, 2), (100, 1)):
        if abs(value) < limit:
            return f"{value:>{width}.{places}f}{unit}"
    return f"{value:>{width},.0f}{unit}"
