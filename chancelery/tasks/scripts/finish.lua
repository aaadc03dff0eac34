-- Ends a job from outside of its tasks.
--
-- KEYS[1]  the job's record
-- ARGV     kind of the event, its data as JSON and as msgpack, sender, process
-- Returns  the state that the job had; nil when there is no such job

local job = open_job(KEYS[1])
if not job then
  return false
end
if not job.ended then
  finish(job, {kind = ARGV[1], json = ARGV[2], packed = ARGV[3], sender = ARGV[4], process = ARGV[5]})
  close(job)
end
return job.state
