"""The history checker of jobs: real Celery workers and sockets, faults from a printed seed, and an offline check."""
