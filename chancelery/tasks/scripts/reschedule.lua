-- Gives whatever of a job waits for its time another one, and says so.
--
-- KEYS[1]  the job's record
-- ARGV     when (ms, "" for now), data of the event as JSON, sender, process, clock ("" for Redis' own)
-- Returns  how many tasks it concerned; nil when there is no such job

local job = open_job(KEYS[1])
if not job then
  return false
end
local jobs, at = job.root, clock_ms(ARGV[5])
local due = ARGV[1] ~= '' and tonumber(ARGV[1]) or at
local tasks = redis.call('SMEMBERS', KEYS[1] .. ':due')
if job.ended or #tasks == 0 then
  return 0
end
for _, task in ipairs(tasks) do
  redis.call('ZADD', jobs .. 'due', 'XX', whole(due), task)
end
keep_record(KEYS[1], math.ceil(math.max(due - at, 0) / 1000) + job.open_seconds, 'GT')
emit(job, {kind = 'rescheduled', json = ARGV[2], packed = '', sender = ARGV[3], process = ARGV[4]})
close(job)
if due <= at then
  hand_all_over(jobs, tasks, at)
end
return #tasks
