-- What becomes of leases and processes that end: wills, what goes back, what is handed out again.

local function lease_of(lease)
  local key = prefix .. 'lease:' .. lease
  local flat = redis.call('HGETALL', key)
  local ids, envelopes, begun = {}, {}, 0
  for index = 1, #flat, 2 do
    local id = tonumber(flat[index])
    if flat[index] == 'begun' then
      begun = tonumber(flat[index + 1])
    elseif id then
      ids[#ids + 1] = id
      envelopes[id] = flat[index + 1]
    end
  end
  table.sort(ids)
  return key, ids, envelopes, begun
end

-- Puts messages, which were taken once, back to the front of their channels, in order.
local function give_back(envelopes)
  local returned = {}
  for index = #envelopes, 1, -1 do
    local channel = address_of(envelopes[index])
    redis.call('LPUSH', prefix .. 'ready:' .. channel, envelopes[index])
    returned[channel] = math.min((returned[channel] or 0) + 1, MOST_TOKENS)
  end
  for channel, tokens in pairs(returned) do
    if string.find(channel, '?', 1, true) then
      redis.call('ZADD', prefix .. 'singles', 'NX', now, channel)
    end
    ring(channel, tokens)
  end
end

local function leave_will(lane, channel, terms, body, lease_ms)
  local process = process_of(lane)
  local will = string.char(math.floor(terms / ATTEMPTS_UNIT)) .. str8(channel) .. body
  redis.call('HSET', prefix .. 'wills:' .. process, lane, will)
  redis.call('ZADD', prefix .. 'processes', 'NX', now + lease_ms, process)
end

-- Ends a process that died or stopped: its memberships and its mail are gone.
local function end_process(process)
  for _, group in ipairs(redis.call('SMEMBERS', prefix .. 'process-groups:' .. process)) do
    for _, channel in ipairs(redis.call('ZRANGE', prefix .. 'group:' .. group, 0, -1)) do
      if process_of(channel) == process then
        remove_member(group, channel)
      end
    end
  end
  local dropped, read = position_of(process)
  for _, entry in ipairs(redis.call('LRANGE', prefix .. 'box:' .. process, math.max((read or 0) - (dropped or 0), 0), -1)) do
    if string.byte(entry, 1) == 0x96 then
      account(entry, 'process_died')
    end
  end
  for _, kind in ipairs({'box:', 'position:', 'control:', 'process-groups:', 'wills:', 'bell:'}) do
    redis.call('DEL', prefix .. kind .. process)
  end
  redis.call('HDEL', prefix .. 'process-capacities', process)
  redis.call('ZREM', prefix .. 'processes', process)
end

-- Ends a lease. What was not begun under it (or is among *unstarted*, a set of ids) goes back; what was is dropped, or
-- handed out again if it may be.
-- Returns  for each message that was begun: its fate, its envelope
local function end_lease(lease, unstarted)
  local key, ids, envelopes, begun = lease_of(lease)
  redis.call('DEL', key)
  redis.call('ZREM', prefix .. 'leases', lease)
  local returning, fates = {}, {}
  for _, id in ipairs(ids) do
    local envelope, fate = envelopes[id], 'dropped'
    if id > begun or unstarted[id] then
      returning[#returning + 1] = envelope
    else
      local attempts, lost = attempts_of(envelope), string.byte(envelope, 5) + 1
      if attempts > 0 then
        envelope = with_term(envelope, math.min(lost, 255))
        fate = lost < attempts and 'repeated' or 'buried'
      end
      if fate == 'repeated' then
        returning[#returning + 1] = envelope
      else
        drop(envelope, 'worker_died')
      end
      fates[#fates + 1] = fate
      fates[#fates + 1] = envelope
    end
  end
  give_back(returning)
  return fates
end
