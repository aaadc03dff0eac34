"""
What `runserver` runs: daphne, a worker, a delay server and a Celery worker, as threads of one process.

`parent` is the process that outlives reloads and has the embedded Valkey; `orders` is how the one with the site is told
to stop; `site` starts and stops the threads in order, `parts` is one of them, `web` the one with daphne.
"""
