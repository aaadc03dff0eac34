-- Drops messages that wait on a channel, a bounded number in one go. Their lanes go on.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, most dead letters, channel, most messages to drop
-- Returns  messages dropped, 1 if there may be more

begin(KEYS[1], ARGV[1], ARGV[2])
local ready, most = prefix .. 'ready:' .. ARGV[3], tonumber(ARGV[4])
local dropped = 0
for index, envelope in ipairs(redis.call('LPOP', ready, most) or {}) do
  drop(envelope, 'purged')
  dropped = index
end
commit() -- with what followed in their lanes, on this channel or on others
return {dropped, redis.call('EXISTS', ready)}
