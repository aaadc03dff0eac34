-- Groups: their members, and sending to them.

-- Tells a process of a change of its memberships; deadline 0 ends one.
local function push_control(process, deadline, group, channel)
  local number = redis.call('INCR', prefix .. 'control:' .. process)
  redis.call('PEXPIRE', prefix .. 'control:' .. process, BACKSTOP_MS)
  send_to_process(process, cmsgpack.pack({VERSION, number, deadline, group, channel}), math.huge)
end

local function remove_member(group, channel)
  if redis.call('ZREM', prefix .. 'group:' .. group, channel) == 0 then
    return false
  end
  local process = process_of(channel)
  if not process then
    redis.call('HDEL', prefix .. 'group-direct:' .. group, channel)
  elseif redis.call('HINCRBY', prefix .. 'group-processes:' .. group, process, -1) <= 0 then
    redis.call('HDEL', prefix .. 'group-processes:' .. group, process)
    redis.call('SREM', prefix .. 'process-groups:' .. process, group)
  end
  return true
end

local function drop_expired_members(group)
  for _, channel in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'group:' .. group, '-inf', now)) do
    remove_member(group, channel)
  end
end

-- Sends to every member: once per process that has some, and once per other channel.
local function send_to_group(group, body, ttl, process_capacity)
  drop_expired_members(group)
  local envelope = seal(group, body, ttl)
  local processes = redis.call('HKEYS', prefix .. 'group-processes:' .. group)
  local special = #processes > 0 and redis.call('EXISTS', prefix .. 'process-capacities') == 1
  for _, process in ipairs(processes) do
    local capacity = special and redis.call('HGET', prefix .. 'process-capacities', process)
    if send_to_process(process, envelope, tonumber(capacity or process_capacity)) then
      count('messages_count')
    else
      account(envelope, 'group_full')
    end
  end
  local direct = redis.call('HGETALL', prefix .. 'group-direct:' .. group)
  for index = 1, #direct, 2 do
    if not store(direct[index], '', body, ttl, tonumber(direct[index + 1]), 0) then
      account(envelope, 'group_full')
    end
  end
end
