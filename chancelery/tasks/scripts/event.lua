-- Tells of a running job: a chunk is kept and numbered, progress is only passed on.
--
-- KEYS[1]  the job's record
-- ARGV     kind ("progress" or "chunk"), data as JSON and as msgpack, task, process, task's id, attempt, number of the
--          chunk within the attempt, and how much of the task is done (0 to 1, "" if nobody knows)
-- Returns  the job's state, or nil when there is no such job

local job = open_job(KEYS[1])
if not job then
  return false
end
local event = {kind = ARGV[1], json = ARGV[2], packed = ARGV[3], sender = ARGV[4], process = ARGV[5], task = ARGV[6]}
if job.ended then
  return job.state
end

if ARGV[6] ~= '' then
  say_started(job, ARGV[6], ARGV[4], ARGV[5])
end

-- What another task does in the place of one of the canvas has no share of its own, and what is done has all of it.
local function overall()
  local rank, share = string.match(redis.call('HGET', KEYS[1] .. ':members', ARGV[6]) or '',
    '^%d+ (%d+) %d %S* %d+ (%S+)')
  return advance(job, ARGV[6], tonumber(rank) ~= DONE and tonumber(share) or 0, tonumber(ARGV[9]))
end

if event.kind == 'progress' then
  event.json = string.sub(event.json, 1, -2) .. ',"overall":' .. cjson.encode(overall()) .. '}'
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
close(job)
return job.state
