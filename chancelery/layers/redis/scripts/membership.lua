-- Adds channels to groups, or ends their memberships, and tells the processes that they belong to.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, milliseconds that a membership lasts, the usual capacity of a process, then for each:
--          "add" or "discard", group, channel, capacity of the channel

begin(KEYS[1], ARGV[1])
local ttl, usual_capacity = tonumber(ARGV[2]), ARGV[3]

local function add(group, channel, capacity)
  drop_expired_members(group)
  local process = process_of(channel)
  if process and was_ended(process) then
    return -- its connections are gone, and nobody would end the membership
  end
  if redis.call('ZADD', prefix .. 'group:' .. group, now + ttl, channel) == 1 then
    if process and redis.call('HINCRBY', prefix .. 'group-processes:' .. group, process, 1) == 1 then
      redis.call('SADD', prefix .. 'process-groups:' .. process, group)
    end
  end
  redis.call('PEXPIRE', prefix .. 'group:' .. group, ttl)
  if process then
    redis.call('PEXPIRE', prefix .. 'group-processes:' .. group, ttl)
    redis.call('PEXPIRE', prefix .. 'process-groups:' .. process, ttl)
    if capacity ~= usual_capacity then
      redis.call('HSET', prefix .. 'process-capacities', process, capacity)
      redis.call('PEXPIRE', prefix .. 'process-capacities', ttl)
    end
    push_control(process, now + ttl, group, channel)
  else
    redis.call('HSET', prefix .. 'group-direct:' .. group, channel, capacity)
    redis.call('PEXPIRE', prefix .. 'group-direct:' .. group, ttl)
  end
end

for index = 4, #ARGV, 4 do
  local group, channel = ARGV[index + 1], ARGV[index + 2]
  if ARGV[index] == 'add' then
    add(group, channel, ARGV[index + 3])
  else
    drop_expired_members(group)
    if remove_member(group, channel) and process_of(channel) then
      push_control(process_of(channel), 0, group, channel)
    end
  end
end
commit()
