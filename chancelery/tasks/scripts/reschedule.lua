-- Gives whatever of a job waits for its time another one, and says so.
--
-- KEYS[1]  the job's record
-- ARGV     when (ms, "" for now), data of the event as JSON, sender, process, clock ("" for Redis' own)
-- Returns  how many tasks it concerned, 1 if none is published yet; nil when there is no such job

local job = open_job(KEYS[1])
if not job then
  return false
end
local jobs, at = job.root, clock_ms(ARGV[5])
local due = ARGV[1] ~= '' and tonumber(ARGV[1]) or at
local tasks = redis.call('SMEMBERS', KEYS[1] .. ':due')
local is_begun = redis.call('HEXISTS', KEYS[1], 'eta') == 0
if job.ended or (is_begun and #tasks == 0) then
  return 0
end
if not is_begun then
  redis.call('HSET', KEYS[1], 'eta', whole(due))
end
for _, task in ipairs(tasks) do
  redis.call('ZADD', jobs .. 'due', 'XX', whole(due), task)
end
keep_record(KEYS[1], math.ceil(math.max(due - at, 0) / 1000) + job.open_seconds, 'GT')
emit(job, {kind = 'rescheduled', json = ARGV[2], packed = '', sender = ARGV[3], process = ARGV[4]})
commit()
if due <= at then
  hand_all_over(jobs, tasks, at)
end
return math.max(#tasks, 1)
