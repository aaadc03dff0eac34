"""
The hot path to Redis: commands without redis-py's client around them.

redis-py opens and authenticates each connection (TLS, ACL users, Sentinel, unix sockets); from then on commands go down
it directly, because its client and pool cost more than the command itself: 93 µs of CPU against 32 for a thread, 189
against 44 for an event loop (`docs/decisions/0005-wire.md`). Nothing is repeated: when a connection breaks, what was
under way on it is unknown and fails with LayerUnavailable. Only `call_quickly` leaves it to another library's client to
repeat.
"""

from chancelery.deployment.wire.loops import LoopWire, close_loop_wires, loop_wire
from chancelery.deployment.wire.pools import call_quickly
from chancelery.deployment.wire.threads import ThreadWire, Waiting, close_thread_wire, thread_wire

__all__ = [
    "LoopWire",
    "ThreadWire",
    "Waiting",
    "call_quickly",
    "close_loop_wires",
    "close_thread_wire",
    "loop_wire",
    "thread_wire",
]
