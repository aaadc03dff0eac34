-- Returns what is on a list of somebody's jobs, and drops from it those that there are not any more.
--
-- KEYS[1]  the prefix of jobs
-- ARGV     the list
-- Returns  for each job, the latest first: id, state, seq

local answer = {}
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1] .. ARGV[1], 0, -1)) do
  local found = redis.call('HMGET', KEYS[1] .. 'job:' .. id, 'state', 'seq')
  if found[1] then
    answer[#answer + 1] = {id, found[1], tonumber(found[2])}
  else
    redis.call('ZREM', KEYS[1] .. ARGV[1], id)
  end
end
return answer
