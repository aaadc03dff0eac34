"""Django signals that the worker sends. Names and arguments are those of Channels 1."""

from django.dispatch import Signal

consumer_started = Signal(use_caching=True)
"""Before a consumer runs. Arguments: environ (the message's content)."""

consumer_finished = Signal(use_caching=True)
"""After a consumer ran, also when it raised. No arguments."""

worker_ready = Signal()
"""A worker thread is about to wait for its first message. Arguments: worker."""

worker_process_ready = Signal()
"""A worker process has started, before its threads. No arguments."""
