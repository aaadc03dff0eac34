-- Tells how a job is doing, if whoever asks may know.
--
-- KEYS[1]  the job's record
-- ARGV     who asks, see holders.lua
-- Returns  its state, or nil

local job = job_for(KEYS[1], ARGV)
return job and job.state or false
