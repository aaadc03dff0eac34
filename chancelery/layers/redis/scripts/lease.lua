-- Gives back, ends or renews leases.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, and then
--          "recover", lease, ids that its worker knows of: the others go back to the front of their channels
--          "close", lease, ids that were not started: these go back, the rest is dropped, the lease ends
--          "corrupt", lease, id: drops one message that cannot be read
--          "renew", milliseconds, leases: only those that still are
--          "reap", "": ends the leases that ran out
-- Returns  the envelopes that were dropped

begin(KEYS[1], ARGV[1])
local operation = ARGV[2]
local names = {}
for index = 4, #ARGV do
  names[#names + 1] = ARGV[index]
end
local dropped = {}

if operation == 'recover' then
  give_back(ARGV[3], names, true)
elseif operation == 'close' then
  give_back(ARGV[3], names, false)
  dropped = end_lease(ARGV[3])
elseif operation == 'corrupt' then
  local key = prefix .. 'lease:' .. ARGV[3]
  local envelope = redis.call('HGET', key, names[1])
  if envelope and redis.call('HDEL', key, names[1]) == 1 then
    drop(envelope, 'corrupt')
  end
elseif operation == 'renew' then
  for _, lease in ipairs(names) do
    redis.call('ZADD', prefix .. 'leases', 'XX', now + ARGV[3], lease)
  end
else
  for _, lease in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'leases', '-inf', now)) do
    for _, envelope in ipairs(end_lease(lease)) do
      dropped[#dropped + 1] = envelope
    end
  end
end
commit()
return dropped
