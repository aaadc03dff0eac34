"""The result backend that settles jobs, on whichever Redis the Sentinels say is the master."""

from __future__ import annotations

import functools

from celery.backends.redis import SentinelBackend

from chancelery.deployment.address import sentinel_location
from chancelery.tasks.engine.backend import JobBackend


class SentinelJobBackend(JobBackend, SentinelBackend):  # type: ignore[misc]
    """
    Celery's Sentinel backend, and the records of jobs beside its results.

        CELERY_RESULT_BACKEND = "chancelery.tasks.engine.sentinel:SentinelJobBackend+sentinel://…;sentinel://…"
        CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {"master_name": "…", …}
    """

    @functools.cached_property
    def location(self) -> tuple[str, int | str, int]:
        """What tells the database apart, as `chancelery.deployment.address` has it."""
        sentinels = [(found["host"], found["port"]) for found in self.connparams["hosts"]]
        return sentinel_location(sentinels, self._transport_options["master_name"], self.connparams["db"])
