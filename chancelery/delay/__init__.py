"""
Delayed messages in the database, as a Django app: for those who want to see, count and back them up there.

Without it, the layer itself keeps what is sent to `asgi.delay` until its time has come.
"""
