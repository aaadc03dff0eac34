"""
Models and clients kept alike: what happens to an object is told to groups, what clients ask for is done to objects.

`base` has what projects subclass, `registration` when a binding begins to listen, `listening` and `changes` the way
out, `checking`, `writing` and `coalescing` the way in, `fields` what crosses either way.
"""

from chancelery.binding.base import Binding

__all__ = ["Binding"]
