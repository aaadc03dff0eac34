"""
The producer of what a job begins with: Celery makes the messages, and they are put into the job's opening.

Nothing is sent here, so no connection is taken from its pool and no repetition prepared, which is a quarter of what it
takes to publish. What concerns more than a message (another exchange than the nameless one, a queue that is not
declared yet) a producer of the pool publishes, into the same opening. Source: kombu.messaging.Producer of 5.7.
"""

from __future__ import annotations

import weakref
from typing import Any

_composers: weakref.WeakKeyDictionary[Any, Composer] = weakref.WeakKeyDictionary()


class Composer:
    """Takes the place of a `kombu.Producer` within `opening.collected`, for any number of threads."""

    def __init__(self, app: Any) -> None:
        self.pool = app.producer_pool
        """Celery forgets it with its connections, as after a fork."""
        with self.pool.acquire(block=True) as producer:
            self.connection = producer.connection
            """By which Celery knows errors of the broker."""
        self.templates: dict[Any, Any] = {}
        """What `templates.py` has learned of messages."""
        self._producer = app.amqp.Producer(self.connection.default_channel, auto_declare=False)

    @property
    def ways(self) -> tuple[Any, ...]:
        """The methods by which a message gets to its queue."""
        channel = self._producer.channel
        return self._producer.publish, channel.prepare_message, channel.basic_publish, channel.entry_of

    def publish(self, body: Any, **options: Any) -> Any:
        """As `Producer.publish`."""
        if options.get("exchange") != "" or options.get("declare"):
            with self.pool.acquire(block=True) as producer:
                return producer.publish(body, **options)
        return self._producer.publish(body, **{**options, "retry": False})


def composer(app: Any) -> Composer:
    """Return this process's composer for what *app* publishes."""
    known = _composers.get(app)
    if known is None or known.pool is not app.producer_pool:
        known = _composers[app] = Composer(app)
    return known
