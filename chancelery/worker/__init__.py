"""
Takes messages off a channel layer and has consumers handle them.

Meets the gateway only through the layer. `crew` has the threads of a process, `loop` what each does, `exchange` its
dealings with the layer, `dispatch` the run of one consumer, `coroutines` the event loop for async ones, `mover` what
becomes due.
"""

from chancelery.worker.crew import Worker, WorkerGroup

__all__ = ["Worker", "WorkerGroup"]
