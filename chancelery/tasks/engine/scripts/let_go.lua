-- Forgets messages that were held: they have been dealt with.
--
-- KEYS[1]  what is held, see fetch.lua
-- KEYS[2]  since when
-- ARGV     delivery tags

redis.call('HDEL', KEYS[1], unpack(ARGV))
redis.call('ZREM', KEYS[2], unpack(ARGV))
