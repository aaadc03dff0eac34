-- Adds channels to groups, or ends their memberships, and tells the processes that they belong to.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, milliseconds that a membership lasts, then for each: "add" or "discard", group, channel

begin(KEYS[1], ARGV[1])
local ttl = tonumber(ARGV[2])

local function add(group, channel)
  drop_expired_members(group)
  local process = process_of(channel)
  if redis.call('ZADD', prefix .. 'group:' .. group, now + ttl, channel) == 1 then
    if not process then
      redis.call('SADD', prefix .. 'group-direct:' .. group, channel)
    elseif redis.call('HINCRBY', prefix .. 'group-processes:' .. group, process, 1) == 1 then
      redis.call('SADD', prefix .. 'process-groups:' .. process, group)
    end
  end
  redis.call('PEXPIRE', prefix .. 'group:' .. group, ttl)
  if process then
    redis.call('PEXPIRE', prefix .. 'group-processes:' .. group, ttl)
    redis.call('PEXPIRE', prefix .. 'process-groups:' .. process, ttl)
    push_control(process, now + ttl, group, channel)
  else
    redis.call('PEXPIRE', prefix .. 'group-direct:' .. group, ttl)
  end
end

for index = 3, #ARGV, 3 do
  local group, channel = ARGV[index + 1], ARGV[index + 2]
  if ARGV[index] == 'add' then
    add(group, channel)
  else
    drop_expired_members(group)
    if remove_member(group, channel) and process_of(channel) then
      push_control(process_of(channel), 0, group, channel)
    end
  end
end
commit()
