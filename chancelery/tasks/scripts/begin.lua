-- Asks for the turn of a job with a limit, all of whose first tasks are held.
--
-- KEYS[1]  the job's record
-- ARGV     clock ("" for Redis' own)
-- Returns  its gate; nil when there is no such job

local jobs, id = string.match(KEYS[1], '^(.*)job:([^:]*)$')
local at, due = clock_ms(ARGV[1]), 0
local gate = redis.call('HGET', KEYS[1], 'gate')
if gate ~= 'closed' then
  return gate
end
for _, kept in ipairs(redis.call('HVALS', KEYS[1] .. ':held')) do
  due = math.max(due, cmsgpack.unpack(kept)[4])
end
if due > at then
  release_held(KEYS[1], function(task, queue, bell, message, when)
    put_due(jobs, task, queue, bell, message, id, when)
  end)
else
  take_turn(jobs, id, at)
end
return redis.call('HGET', KEYS[1], 'gate')
