-- Tells of a running job: a chunk is kept and numbered, progress is only passed on.
--
-- KEYS[1]  the job's record
-- ARGV     kind ("progress" or "chunk"), data as JSON and as msgpack, task, process, task's id, attempt, number of the
--          chunk within the attempt
-- Returns  the job's state, or nil when there is no such job

local job = open_job(KEYS[1])
if not job then
  return false
end
local event = {kind = ARGV[1], json = ARGV[2], packed = ARGV[3], sender = ARGV[4], process = ARGV[5]}
if job.ended then
  return job.state
end
if event.kind == 'progress' then
  tell(job, event)
else
  local field, attempt, number = 'chunk:' .. ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])
  local known_attempt, known = string.match(redis.call('HGET', KEYS[1], field) or '-1 0', '^(%S+) (%S+)$')
  known_attempt, known = tonumber(known_attempt), tonumber(known)
  if attempt > known_attempt or (attempt == known_attempt and number > known) then
    redis.call('HSET', KEYS[1], field, attempt .. ' ' .. number)
    emit(job, event)
    renew(job)
  end
end
commit()
return job.state
