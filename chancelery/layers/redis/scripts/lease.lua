-- Gives back, ends or renews leases.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, most dead letters, and then
--          "recover", lease, a number, ids that its worker knows of: the others go back to the front of their channels,
--              and calls that are still to come hand out nothing if their ids are lower than the number
--          "close", lease, ids that were not started: these go back, the rest is as if reaped, the lease ends
--          "corrupt", lease, id of the last delivery that counts as begun (0 for no change), ids: drops
--              messages that cannot be read
--          "renew", milliseconds, leases: only those that still are
--          "reap", "": ends the leases that ran out
-- Returns  for "close" and "reap": fate and envelope of each message that was begun, in a row;
--          for "renew": records of messages that were dropped lately, see "drops"

begin(KEYS[1], ARGV[1], ARGV[2])
local operation = ARGV[3]
local names = {}
for index = 5, #ARGV do
  names[#names + 1] = ARGV[index]
end
local answer = {}

local function ids_named(first)
  local ids = {}
  for index = first, #names do
    ids[tonumber(names[index])] = true
  end
  return ids
end

-- Takes everything but the ids that its worker knows of out of the lease, and gives it back.
local function recover(lease)
  local key, ids, envelopes = lease_of(lease)
  local known, returning, taken = ids_named(2), {}, {}
  for _, id in ipairs(ids) do
    if not known[id] then
      returning[#returning + 1] = envelopes[id]
      taken[#taken + 1] = id
    end
  end
  if #taken > 0 then
    redis.call('HDEL', key, unpack(taken))
    give_back(returning)
  end
  if redis.call('ZSCORE', prefix .. 'leases', lease) then
    redis.call('HSET', key, 'recovered', names[1])
  end
end

if operation == 'recover' then
  recover(ARGV[4])
elseif operation == 'close' then
  answer = end_lease(ARGV[4], ids_named(1))
elseif operation == 'corrupt' then
  local key = prefix .. 'lease:' .. ARGV[4]
  if tonumber(names[1]) > 0 then
    redis.call('HSET', key, 'begun', names[1])
  end
  for index = 2, #names do
    local envelope = redis.call('HGET', key, names[index])
    if envelope and redis.call('HDEL', key, names[index]) == 1 then
      drop(envelope, 'corrupt')
    end
  end
elseif operation == 'renew' then
  for _, lease in ipairs(names) do
    redis.call('ZADD', prefix .. 'leases', 'XX', now + ARGV[4], lease)
  end
  answer = redis.call('LPOP', prefix .. 'drops', MOST_RECORDS) or {}
else
  for _, lease in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'leases', '-inf', now)) do
    for _, item in ipairs(end_lease(lease, {})) do
      answer[#answer + 1] = item
    end
    redis.call('SET', prefix .. 'ended:' .. lease, '', 'PX', BACKSTOP_MS)
  end
end
commit()
return answer
