-- Tells whether a job's time without a socket is over, give or take what clocks differ by.
--
-- KEYS[1]  the job's record
-- Returns  1 or 0

local job = open_job(KEYS[1])
local DIFFERENCE_MS = 1000
local lapses = job and not job.ended and tonumber(redis.call('HGET', KEYS[1], 'lapses') or nil)
return lapses and lapses <= now + DIFFERENCE_MS and 1 or 0
