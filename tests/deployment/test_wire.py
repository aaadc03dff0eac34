"""The connections of threads: what one thread closes, another may be reading from."""

from __future__ import annotations

import os
import threading

import pytest

from chancelery.deployment.wire import thread_wire
from chancelery.deployment.wire.threads import close_thread_wire
from chancelery.exceptions import LayerUnavailable


def test_a_thread_that_waits_is_woken_when_another_closes_its_connection(redis_url):
    waiting, failures = threading.Event(), []

    def wait():
        begun = thread_wire(redis_url).begin_waiting(["nothing comes here"], 60)
        waiting.set()
        try:
            begun.take_answer()
        except LayerUnavailable as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert waiting.wait(30)
    close_thread_wire(redis_url)
    thread.join(30)
    assert len(failures) == 1


def test_a_connection_is_not_closed_under_the_thread_that_reads_from_it(redis_url):
    """Its descriptor would be given to the next connection, whose answers it would read."""
    found, go_on = [], threading.Event()
    opened = threading.Event()

    def hold():
        begun = thread_wire(redis_url).begin_waiting(["nothing comes here"], 60)
        found.append(begun.fileno)
        opened.set()
        assert go_on.wait(30)
        with pytest.raises(LayerUnavailable):
            begun.take_answer()

    thread = threading.Thread(target=hold)
    thread.start()
    assert opened.wait(30)
    close_thread_wire(redis_url)
    reader, writer = os.pipe()
    try:
        assert found[0] not in {reader, writer}
    finally:
        os.close(reader)
        os.close(writer)
        go_on.set()
        thread.join(30)
