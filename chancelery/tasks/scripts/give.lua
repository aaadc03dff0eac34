-- Gives a job an input, for whichever of its tasks asks for one next.
--
-- KEYS[1]  the job's record
-- ARGV     who asks, see holders.lua; then the value as JSON, a token (a repetition has the same), most inputs
-- Returns  nil when there is no such job for whoever asks, "ended", "full", or "taken"
--
-- In job:<id>:inputs are, beside the inputs, "given" (how many), "taken" (how many were handed out), "<token>" and
-- "got <task> <number>" (which of them that task's so-manieth call got).

local job = job_for(KEYS[1], ARGV)
if not job then
  return false
elseif job.ended then
  return 'ended'
end
local inputs, bell = KEYS[1] .. ':inputs', KEYS[1] .. ':bell'
if redis.call('HEXISTS', inputs, ARGV[5]) == 1 then
  return 'taken'
elseif tonumber(redis.call('HGET', inputs, 'given') or 0) >= tonumber(ARGV[6]) then
  return 'full'
end
redis.call('HSET', inputs, redis.call('HINCRBY', inputs, 'given', 1), ARGV[4], ARGV[5], 1)
redis.call('RPUSH', bell, '')
for _, key in ipairs({inputs, bell}) do
  redis.call('EXPIRE', key, job.open_seconds)
end
return 'taken'
