"""`python -m tests.benchmarks.layer`: the layer alone, between one producer, one consumer and one Valkey."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.children import Child
from tests.benchmarks.conditions import Conditions, numbers, parser
from tests.benchmarks.layer_sides import LANES, PLAIN, SURE, WINDOW, Gauge, open_layer
from tests.benchmarks.report import Table, middle, show, spread_percent
from tests.benchmarks.store import Store, running_store

MODULE = "tests.benchmarks.layer"
WARM_UP_MESSAGES = 2000
PROCESSES = 4
MOST_MAIL = 5000
GUARANTEES = {PLAIN: "at most once", SURE: "at least once"}


class Run(NamedTuple):
    """What one run of one batch size and one guarantee brought; CPU in µs per message."""

    per_second: float
    fetched_at_once: float
    redis_us: float
    producer_us: float
    consumer_us: float


Commands = dict[str, tuple[int, float]]
Runs = dict[tuple[int, str], list[Run]]


class Pair:
    """A producer and a consumer on one store."""

    def __init__(self, store: Store, stack: contextlib.ExitStack) -> None:
        self._store = store
        path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-"))) / "fetched"
        path.write_bytes(bytes(8))
        self._gauge = Gauge(path)
        sides = [Child("tests.benchmarks.layer_sides", side, store.url, str(path)) for side in ("producer", "consumer")]
        self._producer, self._consumer = (stack.enter_context(side) for side in sides)

    def run(self, channel: str, batch: int, messages: int) -> Run:
        messages -= messages % batch
        before = self._store.cpu_seconds()
        produced, consumed = self._work(channel, batch, messages)
        spent = self._store.cpu_seconds() - before
        seconds = consumed["ended_at"] - produced["started_at"]
        to_us = 1e6 / messages
        at_once = messages / consumed["fetches"]
        return Run(messages / seconds, at_once, spent * to_us, produced["cpu"] * to_us, consumed["cpu"] * to_us)

    def profiles(self, messages: int) -> Iterator[str]:
        """Run once more, in batches of 64, under a profiler on both sides; tell what Redis did meanwhile, too."""
        before, messages = self._store.commands(), messages - messages % 64
        answers = self._work(PLAIN, 64, messages, profile=True)
        yield f"\nRedis, per message:\n{command_lines(before, self._store.commands(), messages)}"
        for side, answer in zip(("producer", "consumer"), answers, strict=True):
            yield f"\n{side}, under cProfile (CPU time; Python calls weigh more than without it):\n{answer['profile']}"

    def _work(self, channel: str, batch: int, messages: int, *, profile: bool = False) -> list[dict]:
        self._gauge.write(0)
        for side in (self._consumer, self._producer):
            side.order(channel=channel, batch=batch, messages=messages, profile=profile)
        return [self._producer.answer(), self._consumer.answer()]


def command_lines(before: Commands, after: Commands, messages: int) -> str:
    lines = []
    for name, (calls, seconds) in sorted(after.items(), key=lambda item: -item[1][1]):
        calls_before, seconds_before = before.get(name, (0, 0.0))
        if (calls - calls_before) * 100 > messages:
            microseconds = 1e6 * (seconds - seconds_before) / messages
            lines.append(f"  {name:12}{(calls - calls_before) / messages:8.2f} calls{microseconds:8.2f} µs")
    return "\n".join(lines)


def lanes(store: Store, chosen: argparse.Namespace) -> tuple[Runs, list[str]]:
    """Measure both guarantees in turns, at every batch size."""
    runs: Runs = defaultdict(list)
    with contextlib.ExitStack() as stack:
        pair = Pair(store, stack)
        for channel in GUARANTEES:
            pair.run(channel, 64, WARM_UP_MESSAGES)
        for turn in range(chosen.rounds):
            for batch in chosen.batches:
                messages = chosen.messages if batch > 1 else chosen.messages // 4
                for channel in sorted(GUARANTEES, reverse=turn % 2 == 1):
                    runs[batch, channel].append(pair.run(channel, batch, messages))
        return runs, list(pair.profiles(chosen.messages)) if chosen.profile else []


def lane_tables(runs: Runs, chosen: argparse.Namespace) -> list[Table]:
    shape = f"one producer, one consumer, {LANES} lanes, at most {WINDOW} messages on their way"
    absolute = Table(
        f"Messages through lanes with leases: {shape}; CPU in µs per message",
        ("batch, guarantee", "messages/s", "±%", "per fetch", "Redis", "producer", "consumer"),
    )
    relative = Table(
        "What at-least-once costs over at-most-once: medians of the rounds' ratios",
        ("batch", "time per message", "Redis CPU", "producer CPU", "consumer CPU"),
    )
    for batch in chosen.batches:
        for channel, guarantee in GUARANTEES.items():
            rows = runs[batch, channel]
            rates = [run.per_second for run in rows]
            costs = [middle(column) for column in list(zip(*rows, strict=True))[1:]]
            absolute.add(f"{batch}, {guarantee}", middle(rates), spread_percent(rates), *costs)
        relative.add(str(batch), *(percent(ratio) for ratio in ratios(runs[batch, PLAIN], runs[batch, SURE])))
    return [absolute, relative]


def ratios(plain: Sequence[Run], sure: Sequence[Run]) -> list[float | None]:
    times = middle(a.per_second / b.per_second for a, b in zip(plain, sure, strict=True))
    fields = ("redis_us", "producer_us", "consumer_us")
    pairs = list(zip(plain, sure, strict=True))
    return [times, *(middle(getattr(b, name) / getattr(a, name) for a, b in pairs) for name in fields)]


def percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.0f} %"


class Fan:
    """A group whose members belong to PROCESSES processes, as the layer sees it: nobody but their mail is there."""

    def __init__(self, store: Store, members: int) -> None:
        self._store = store
        self._layer = open_layer(store.url)
        self._group = f"crowd{members}"
        self._positions = {f"bench.gateway{members}.{number}!": 0 for number in range(PROCESSES)}
        processes = list(self._positions)
        for number in range(members):
            self._layer.group_add(self._group, f"{processes[number % PROCESSES]}{number:024x}")
        self._read_mail()

    def send(self, times: int) -> tuple[float, float, float]:
        """Send that often; return Redis' CPU, its time in the script alone and the caller's time, in ms per send."""
        cpu, script, start = self._store.cpu_seconds(), self._store.function_seconds(), time.perf_counter()
        for _ in range(times):
            self._layer.send_group(self._group, {"text": "everybody hears this"})
        taken = time.perf_counter() - start
        spent = self._store.cpu_seconds() - cpu, self._store.function_seconds() - script, taken
        self._read_mail()
        return tuple(1000 * seconds / times for seconds in spent)

    def _read_mail(self) -> None:
        for process in self._positions:
            while True:
                collected = self._layer.collect(process, self._positions[process], MOST_MAIL)
                self._positions[process] = collected.position
                if not collected.entries:
                    break


def group_table(store: Store, chosen: argparse.Namespace) -> Table:
    table = Table(
        f"A send to a group of members in {PROCESSES} processes: ms per send",
        ("members", "Redis, in the script", "Redis, all its CPU", "for the caller"),
    )
    for members in chosen.members:
        fan = Fan(store, members)
        rounds = [fan.send(chosen.sends) for _ in range(chosen.rounds)]
        cpu, script, taken = (middle(column) for column in zip(*rounds, strict=True))
        table.add(f"{members:,}", *(f"{number:.3f}" for number in (script, cpu, taken)))
    return table


def options() -> argparse.Namespace:
    made = parser(MODULE, __doc__)
    made.add_argument(
        "--messages", type=int, default=60000, help="messages per run; a quarter of it one by one (60000)"
    )
    made.add_argument("--batches", type=numbers, default=[1, 8, 64], help="messages per call (1,8,64)")
    made.add_argument("--members", type=numbers, default=[4, 400, 10000], help="of the groups (4,400,10000)")
    made.add_argument("--sends", type=int, default=300, help="to each group, per round (300)")
    made.add_argument("--profile", action="store_true", help="print, too, where each side's time goes")
    return made.parse_args()


def main() -> None:
    conditions, chosen = Conditions(MODULE), options()
    with running_store() as store:
        runs, profiles = lanes(store, chosen)
        tables = [*lane_tables(runs, chosen), group_table(store, chosen)]
    show(conditions.lines(rounds=chosen.rounds, messages=chosen.messages), tables, markdown=chosen.markdown)
    print(*profiles, sep="\n", end="")


if __name__ == "__main__":
    main()
