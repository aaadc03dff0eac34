"""The channel layer on Redis: one Lua script per operation, so that each is one atomic round trip."""

from chancelery.layers.redis.layer import RedisChannelLayer

ChannelLayer = RedisChannelLayer

__all__ = ["ChannelLayer", "RedisChannelLayer"]
