"""Test cases whose channel layers are theirs alone, in memory, and new for each test."""

from __future__ import annotations

import contextlib
import functools
import sys
import unittest
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

from django.test import TestCase, TransactionTestCase

from chancelery.message import Message
from chancelery.registry import DEFAULT_CHANNEL_LAYER, channel_layers
from chancelery.test import layers
from chancelery.test.clock import VirtualClock


class WithinContext(unittest.TestCase):
    """A test case whose tests run within `surroundings`, also where a subclass has a setUp that calls no other."""

    def surroundings(self) -> AbstractContextManager[object]:
        """Return what each test runs in."""
        raise NotImplementedError

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Run the test. What goes wrong around it is an error of the test."""
        result = self.defaultTestResult() if result is None else result
        try:
            with self.surroundings():
                super().run(result)
        except Exception:  # noqa: BLE001 - it is reported
            result.addError(self, sys.exc_info())
        return result

    def debug(self) -> None:
        """Run the test, and raise what goes wrong."""
        with self.surroundings():
            super().debug()


class ChannelTestCaseMixin(WithinContext):
    """
    New layers behind *test_channel_aliases* for each test, with the routing that is there, in memory.

    test_config: whether those that have a TEST_CONFIG are made by it instead, on a Redis, say.
    """

    test_channel_aliases: Sequence[str] = [DEFAULT_CHANNEL_LAYER]
    test_config: ClassVar[bool] = False

    @functools.cached_property
    def channel_clock(self) -> VirtualClock:
        """What the layers take for the time. It stands still until the test moves it: `channel_clock.advance(60)`."""
        return VirtualClock()

    @contextlib.contextmanager
    def surroundings(self) -> Iterator[None]:
        """Have the layers in place."""
        with layers.isolated(self.test_channel_aliases, clock=self.channel_clock, configured=self.test_config):
            yield

    def get_next_message(
        self,
        channel: str,
        alias: str = DEFAULT_CHANNEL_LAYER,
        require: bool = False,  # noqa: FBT001, FBT002 - Channels 1's signature
    ) -> Message | None:
        """Take the next message off *channel*; None when there is none, which *require* makes a failure."""
        found = layers.next_message(channel_layers[alias], channel)
        if found is None and require:
            self.fail(f'no message on channel "{channel}". {layers.waiting(channel_layers[alias].layer)}')
        return found


class ChannelTestCase(ChannelTestCaseMixin, TestCase):
    """
    A TestCase with channels.

    What waits for a commit that will not come, since the test is in a transaction, is run when the consumer that left
    it has returned; what the test itself has left, when it next looks for messages.
    """


class TransactionChannelTestCase(ChannelTestCaseMixin, TransactionTestCase):
    """A TransactionTestCase with channels."""
