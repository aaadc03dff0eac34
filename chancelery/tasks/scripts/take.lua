-- Hands a task the input that it waits for. A task that is run anew is handed again what it was handed before.
--
-- KEYS[1]  the job's record
-- ARGV     the task, the number of its call
-- Returns  nil when there is no such job; the job's state, and the input as JSON when there is one

local state = redis.call('HGET', KEYS[1], 'state')
if not state then
  return false
end
local inputs, field = KEYS[1] .. ':inputs', 'got ' .. ARGV[1] .. ' ' .. ARGV[2]
local found = redis.call('HMGET', inputs, field, 'taken', 'given')
local which = found[1]
if not which then
  if tonumber(found[2] or 0) >= tonumber(found[3] or 0) then
    return {state}
  end
  which = redis.call('HINCRBY', inputs, 'taken', 1)
  redis.call('HSET', inputs, field, which)
end
return {state, redis.call('HGET', inputs, which)}
