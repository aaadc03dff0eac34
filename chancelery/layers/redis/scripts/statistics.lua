-- Counts what waits on a channel, and how long its oldest message has waited.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, channel, milliseconds that a message lives
-- Returns  messages sent, times it was full, messages pending, age of the oldest in milliseconds

begin(KEYS[1], ARGV[1])
local channel = ARGV[2]
local process = process_of(channel)
local queue = process and (prefix .. 'box:' .. process) or (prefix .. 'ready:' .. channel)
local head, age = redis.call('LINDEX', queue, 0), 0
if head and string.byte(head, 1) == 0x96 then
  age = now - (deadline_of(head) - tonumber(ARGV[3]))
end
local counted = redis.call('HMGET', prefix .. 'counters', 'sent:' .. channel, 'full:' .. channel)
return {tonumber(counted[1] or 0), tonumber(counted[2] or 0), redis.call('LLEN', queue), age}
