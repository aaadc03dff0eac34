"""
The catalogue: what may go wrong, how often, and how it is undone.

Each entry draws its targets and durations from the run's random numbers and returns a plan. Nothing here waits: the
episode undoes a plan when its time is over, and other faults may begin meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

import redis

from tests.faults.processes import Slot
from tests.faults.system import LEASE_SECONDS, System


class Plan(NamedTuple):
    """One fault that was drawn."""

    details: dict[str, Any]
    begin: Callable[[], None]
    end: Callable[[], None]
    seconds: float
    """How long it lasts."""


Draw = Callable[[System, Random], Plan]


def _nothing() -> None:
    pass


def _duration(random: Random) -> float:
    """Return some seconds: within a lease, or well past one."""
    return random.uniform(0.1, 0.8) if random.random() < 0.5 else random.uniform(1.2, 2.6) * LEASE_SECONDS


def kill(role: str) -> Draw:
    """SIGKILL; another process takes its place, at once or a little later."""

    def draw(system: System, random: Random) -> Plan:
        slot, pause = random.choice(getattr(system, role)), random.choice([0.0, random.uniform(0, 1.5)])
        return Plan({"name": slot.name, "pause": pause}, lambda: system.kill(slot, pause), _nothing, 0)

    return draw


def freeze(role: str) -> Draw:
    """SIGSTOP, and SIGCONT later."""

    def draw(system: System, random: Random) -> Plan:
        slot: Slot = random.choice(getattr(system, role))
        return Plan({"name": slot.name}, slot.freeze, slot.thaw, _duration(random))

    return draw


def terminate(role: str) -> Draw:
    """SIGTERM, as a deploy does it; another process takes its place once it has drained."""

    def draw(system: System, random: Random) -> Plan:
        slot = random.choice(getattr(system, role))
        return Plan({"name": slot.name}, lambda: system.terminate(slot), _nothing, 0)

    return draw


def network(do: str) -> Draw:
    """The proxy misbehaves towards one process, the ones of one role, or all."""

    def draw(system: System, random: Random) -> Plan:
        groups = [[slot] for slot in system.slots] * 2 + [system.workers, system.gateways, system.slots]
        names = [slot.name for slot in random.choice(groups)]
        how: dict[str, Any] = {}
        if do == "delay":
            how = {"delay": random.choice([0.005, 0.03, 0.15])}
        elif do == "mute":
            how = {"way": random.choice(["up", "down"])}
        seconds = 0 if do == "cut" else _duration(random)
        return Plan(
            {"names": names, **how},
            lambda: system.network(do, names, **how),
            _nothing if do == "cut" else lambda: system.network("heal", names),
            seconds,
        )

    return draw


def store_kill(system: System, random: Random) -> Plan:
    """Redis is killed, and started again with what it has kept."""
    return Plan({"keeps": system.store.keeps}, system.store.kill, system.store.start, random.uniform(0, 1.5))


def store_freeze(system: System, random: Random) -> Plan:
    """Redis does not run for a while."""
    return Plan({}, system.store.freeze, system.store.thaw, _duration(random))


def client_pause(system: System, random: Random) -> Plan:
    """CLIENT PAUSE: Redis takes commands and does not run them."""
    seconds, mode = _duration(random), random.choice(["ALL", "WRITE"])
    command = ("CLIENT", "PAUSE", int(seconds * 1000), mode)
    return Plan({"mode": mode}, lambda: _order(system, *command), _nothing, seconds)


def client_kill(system: System, random: Random) -> Plan:
    """CLIENT KILL: Redis drops all connections."""
    return Plan({}, lambda: _order(system, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), _nothing, 0)


def vanish(system: System, random: Random) -> Plan:
    """Some browsers are gone without a word."""
    count = random.randrange(1, 10)
    return Plan({"count": count}, lambda: system.clients.order(f"abort {count}"), _nothing, 0)


def _order(system: System, *command: str | int) -> None:
    with contextlib.suppress(redis.RedisError):  # another fault keeps it from obeying
        system.store.client.execute_command(*command)


OF_THE_STORE = frozenset({"store_kill", "store_freeze", "client_pause", "client_kill"})
"""One at a time."""

CATALOGUE: dict[str, tuple[float, Draw]] = {
    "worker_kill": (4, kill("workers")),
    "worker_freeze": (4, freeze("workers")),
    "worker_terminate": (1.5, terminate("workers")),
    "gateway_kill": (2.5, kill("gateways")),
    "gateway_freeze": (3, freeze("gateways")),
    "gateway_terminate": (1, terminate("gateways")),
    "store_kill": (2.5, store_kill),
    "store_freeze": (1, store_freeze),
    "client_pause": (1.5, client_pause),
    "client_kill": (2, client_kill),
    "delay": (2, network("delay")),
    "cut": (3, network("cut")),
    "mute": (3, network("mute")),
    "shut": (2, network("shut")),
    "vanish": (1.5, vanish),
}
"""Fault -> how often, in proportion to the others, and how it is drawn."""


def draw(random: Random, *, store_is_busy: bool) -> str:
    """Return the name of the next fault."""
    names = [name for name in CATALOGUE if not (store_is_busy and name in OF_THE_STORE)]
    return random.choices(names, [CATALOGUE[name][0] for name in names])[0]
