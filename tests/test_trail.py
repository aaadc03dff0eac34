"""Where a message came from: hops, who wrote them, and how many are kept."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time

import pytest

from chancelery import trail
from chancelery.trail import MAX_HOPS, Hop

FIRST = Hop("gateway", "websocket.receive", "host:1", 1)


def long(count: int) -> trail.Trail:
    return tuple(Hop(f"consumer{n}", f"channel{n}", "host:1", n) for n in range(count))


def test_outside_of_consumers_there_is_none() -> None:
    assert trail.current() == ()


def test_a_send_from_nowhere_is_the_first_hop() -> None:
    before = time.time_ns() // 1_000_000
    [hop] = trail.onward("orders")
    assert (hop.sender, hop.channel, hop.process) == ("code", "orders", trail.process_label())
    assert before <= hop.at_ms <= time.time_ns() // 1_000_000


def test_a_send_within_a_consumer_continues_its_message_s_trail() -> None:
    with trail.following((FIRST,), "shop.consumers.buy"):
        assert trail.current() == (FIRST,)
        first, second = trail.onward("orders")
    assert first == FIRST
    assert (second.sender, second.channel) == ("shop.consumers.buy", "orders")


def test_sending_does_not_lengthen_the_trail_of_the_sends_after_it() -> None:
    with trail.following((FIRST,), "consumer"):
        trail.onward("a")
        assert len(trail.onward("b")) == 2


def test_following_ends_with_its_block_also_when_that_raises() -> None:
    def break_off() -> None:
        with trail.following((), "inner"):
            assert trail.current() == ()
            raise ValueError(f"sent by {trail.onward('a')[-1].sender}")

    with trail.following((FIRST,), "outer"):
        with pytest.raises(ValueError, match="sent by inner"):
            break_off()
        assert trail.current() == (FIRST,)
        assert trail.onward("a")[-1].sender == "outer"
    assert trail.current() == ()
    assert trail.onward("a")[-1].sender == "code"


@pytest.mark.parametrize("count", [MAX_HOPS - 1, MAX_HOPS, MAX_HOPS + 1, 3 * MAX_HOPS])
def test_a_long_trail_keeps_its_first_hop_and_its_latest(count: int) -> None:
    made = long(count)
    with trail.following(made, "consumer"):
        onward = trail.onward("last")
    assert len(onward) == MAX_HOPS
    assert onward[0] == made[0]
    assert onward[-1].channel == "last"
    assert onward[1:-1] == made[count - (MAX_HOPS - 2) :]


def test_it_stays_bounded_however_often_a_message_is_sent_on() -> None:
    made: trail.Trail = ()
    for n in range(5 * MAX_HOPS):
        with trail.following(made, f"consumer{n}"):
            made = trail.onward("loop")
    assert len(made) == MAX_HOPS
    assert made[0].sender == "consumer0"
    assert made[-1].sender == f"consumer{5 * MAX_HOPS - 1}"


def test_threads_follow_trails_of_their_own() -> None:
    seen: list[trail.Trail] = []
    with trail.following((FIRST,), "consumer"):
        thread = threading.Thread(target=lambda: seen.append(trail.current()))
        thread.start()
        thread.join()
        carried = contextvars.copy_context()
    assert seen == [()]
    assert carried.run(trail.current) == (FIRST,)


def test_tasks_follow_the_trail_that_they_were_started_on() -> None:
    async def send(name: str) -> list[str]:
        with trail.following((*trail.current(), Hop(name, "a", "host:1", 1)), name):
            await asyncio.sleep(0)
            return [hop.sender for hop in trail.onward("b")]

    async def both() -> list[list[str]]:
        with trail.following((FIRST,), "outer"):
            return await asyncio.gather(send("one"), send("two"))

    assert asyncio.run(both()) == [["gateway", "one", "one"], ["gateway", "two", "two"]]


def test_it_is_told_in_one_line_oldest_first() -> None:
    second = Hop("shop.consumers.buy", "orders", "host:2", 5)
    assert trail.describe((FIRST, second)) == (
        "gateway (host:1) -> websocket.receive => shop.consumers.buy (host:2) -> orders"
    )
    assert trail.describe(()) == "(no trail)"


def test_the_process_is_named_by_host_and_pid() -> None:
    host, _, pid = trail.process_label().rpartition(":")
    assert host
    assert int(pid) == os.getpid()


FORKING = """
import os
from chancelery import trail
print(trail.process_label(), flush=True)
if os.fork():
    os.wait()
else:
    print(trail.process_label(), os.getpid(), flush=True)
"""


def test_a_forked_child_has_a_name_of_its_own() -> None:
    told = subprocess.run([sys.executable, "-c", FORKING], check=True, capture_output=True, text=True).stdout
    parent, child, pid = told.split()
    assert child != parent
    assert child == f"{parent.rpartition(':')[0]}:{pid}"
