"""`consumer_task`: a consumer that Celery runs, with the message that was escalated."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, overload

from celery import shared_task
from celery.exceptions import Ignore

from chancelery import trail
from chancelery.message import Message
from chancelery.retries import Retry
from chancelery.tasks import quotas, times
from chancelery.tasks.engine import backend
from chancelery.tasks.engine.backend import JobBackend
from chancelery.tasks.escalate import OnDisconnect, Style, escalate
from chancelery.tasks.job import Job
from chancelery.tasks.quotas import Limit
from chancelery.tasks.running import message_of

_OURS = {
    "bind": "the message stands in the place of the task",
    "ignore_result": "a job ends with the result that Celery stores",
}


class ConsumerTask:
    """
    A consumer that is also a Celery task: what it is given first is the message, and then what Celery passes.

    Called, it runs at once, like a consumer; in a routing, its messages are escalated. The signatures that it makes are
    Celery's own and carry no message: in the worker, the message comes from the job's record.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        retry: Retry | None,
        reply: Style,
        queue: str | None,
        on_disconnect: OnDisconnect,
        limit: Limit | None,
        **options: Any,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.retry = retry
        self.reply = reply
        self.on_disconnect = on_disconnect
        self.limit = limit
        self._passing = () if retry is None else retry.on
        self._route = {} if queue is None else {"queue": queue}
        options.setdefault("track_started", True)
        if retry is not None:
            options["max_retries"] = retry.max
        self.task = shared_task(bind=True, reply_style=reply, **options)(self._body())
        """Celery's task."""

    @property
    def name(self) -> str:
        """The name under which Celery knows it."""
        return str(self.task.name)

    @property
    def routed_consumer(self) -> Callable[..., Job]:
        """What a routing calls: it escalates, and the named groups of the route become keyword arguments."""

        @functools.wraps(self.function)
        def escalating(message: Message, **kwargs: Any) -> Job:
            return self.escalate(message, **kwargs)

        return escalating

    def escalate(
        self,
        message: Message | None,
        *args: Any,
        reply_to: Any = None,
        eta: datetime | None = None,
        countdown: float | timedelta | None = None,
        expires: datetime | float | timedelta | None = None,
        on_disconnect: OnDisconnect | None = None,
        dedupe: str | None = None,
        limit: Limit | None = None,
        immediately: bool = False,
        **kwargs: Any,
    ) -> Job:
        """Have Celery run it with *message*, *args* and *kwargs*; the rest is as in `chancelery.tasks.escalate`."""
        return escalate(
            message,
            self.s(*args, **kwargs),
            reply_to=reply_to,
            reply=self.reply,
            eta=eta,
            countdown=countdown,
            expires=expires,
            on_disconnect=self.on_disconnect if on_disconnect is None else on_disconnect,
            dedupe=dedupe,
            limit=self.limit if limit is None else limit,
            immediately=immediately,
        )

    def s(self, *args: Any, **kwargs: Any) -> Any:
        """Return a signature for a canvas; arguments follow the message."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Any:
        """Return a signature that takes nothing from the task before it."""
        return self.signature(args, kwargs, immutable=True)

    def signature(self, *args: Any, **kwargs: Any) -> Any:
        """Return a signature, as Celery's `Task.signature`."""
        found = self.task.signature(*args, **kwargs)
        for key, value in self._route.items():
            found.options.setdefault(key, value)
        return found

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Publish it for the job of the task that is running, as Celery's `Task.delay`."""
        return self.apply_async(args, kwargs)

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Publish it for the job of the task that is running, as Celery's `Task.apply_async`."""
        return self.task.apply_async(args, kwargs, **{**self._route, **options})

    def __call__(self, message: Message, *args: Any, **kwargs: Any) -> Any:
        """Run it here and now, and return what it returns."""
        return self.function(message, *args, **kwargs)

    def __repr__(self) -> str:
        return f"<ConsumerTask {self.function.__module__}.{self.function.__qualname__}>"

    def _body(self) -> Callable[..., Any]:
        @functools.wraps(self.function)
        def body(task: Any, *args: Any, **kwargs: Any) -> Any:
            return self._run(task, args, kwargs)

        # Celery checks the arguments of a call against it: the message stands where a bound task would.
        body.__signature__ = inspect.signature(self.function)  # type: ignore[attr-defined]
        return body

    def _run(self, task: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        engine = backend.current()
        state, message = message_of(task.request, engine)
        if state == "cancelled":
            raise Ignore
        try:
            with trail.following(message.trail, task.request.task), message.job:
                return self.function(message, *args, **kwargs)
        except self._passing as error:
            self._try_again(task, error, engine)
            raise

    def _try_again(self, task: Any, error: Exception, engine: JobBackend) -> None:
        """Raise Celery's order to run the task again later; return when that has been done often enough."""
        repetition = task.request.retries + 1
        if self.retry is not None and repetition <= self.retry.max:
            wait = self.retry.delay(repetition)
            # Told before Celery publishes it: what is repeated at once may be done before it is stored.
            engine.tell_retry(task.request, error, wait)
            raise task.retry(exc=error, countdown=wait) from error


@overload
def consumer_task(function: Callable[..., Any]) -> ConsumerTask: ...


@overload
def consumer_task(
    *,
    retry: Retry | None = None,
    reply: Style = "events",
    queue: str | None = None,
    on_disconnect: OnDisconnect = "detach",
    limit: Limit | None = None,
    name: str | None = None,
    time_limit: float | None = None,
    soft_time_limit: float | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], ConsumerTask]: ...


def consumer_task(
    function: Callable[..., Any] | None = None,
    *,
    retry: Retry | None = None,
    reply: Style = "events",
    queue: str | None = None,
    on_disconnect: OnDisconnect = "detach",
    limit: Limit | None = None,
    **options: Any,
) -> ConsumerTask | Callable[[Callable[..., Any]], ConsumerTask]:
    """
    Make a consumer one that runs in Celery; used bare or with options.

    retry: after which exceptions it is tried again. reply: `events`, or `message` when the dict that it returns is the
    answer, as it is. queue: Celery's queue. on_disconnect, limit: as in `escalate`. options: Celery's task options,
    such as name, time_limit, soft_time_limit, base, rate_limit.

    Raises: TypeError, ValueError, which name the option, what was given and what is allowed.
    """
    if retry is not None and not isinstance(retry, Retry):
        raise TypeError(f"consumer_task(retry=…) takes a Retry, such as Retry(on=OSError, max=5), not {retry!r}")
    if reply not in {"events", "message"}:
        raise ValueError(f'consumer_task(reply=…) takes "events" or "message", not {reply!r}')
    times.leave_ms(on_disconnect)
    quotas.checked(limit)
    for option in _OURS.keys() & options.keys():
        raise TypeError(f"consumer_task() has no option {option!r}: {_OURS[option]}")

    def decorate(decorated: Callable[..., Any]) -> ConsumerTask:
        if not callable(decorated) or inspect.iscoroutinefunction(decorated):
            raise TypeError(
                f"@consumer_task decorates a def (Celery runs no async def), or takes options by name; it was given "
                f"{decorated!r}"
            )
        ours: dict[str, Any] = {"retry": retry, "reply": reply, "queue": queue, "on_disconnect": on_disconnect}
        return ConsumerTask(decorated, **ours, limit=limit, **options)

    return decorate if function is None else decorate(function)
