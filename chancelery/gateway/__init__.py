"""
Where sockets and HTTP requests become messages, and messages frames and responses.

Meets the workers only through the channel layer. `application.Gateway` is the ASGI 3 callable; everything else here is
private to this room.
"""
