-- Drops what has expired on single-reader channels, whose names have no end and whose readers may be gone.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, most dead letters, most channels to look at
-- Returns  how many channels it looked at

begin(KEYS[1], ARGV[1], ARGV[2])
local names = redis.call('ZRANGEBYSCORE', prefix .. 'singles', '-inf', now, 'LIMIT', 0, ARGV[3])
for _, name in ipairs(names) do
  local ready = prefix .. 'ready:' .. name
  local head = redis.call('LINDEX', ready, 0)
  while head and deadline_of(head) <= now do
    redis.call('LPOP', ready)
    drop(head, 'expired')
    head = redis.call('LINDEX', ready, 0)
  end
  if head then
    redis.call('ZADD', prefix .. 'singles', deadline_of(head), name)
  else
    redis.call('ZREM', prefix .. 'singles', name)
  end
end
commit()
return #names
