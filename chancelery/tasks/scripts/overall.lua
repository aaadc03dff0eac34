-- How far the whole canvas of a job is, from 0 to 1: the shares of the tasks that are done, and what those that run have
-- said of theirs. It never goes back, though a task that is tried again begins anew.
--
-- Fields of job:<id>: overall, and part:<task> (what is in it of a task that runs)

local function rounded(overall)
  return tonumber(string.format('%.4f', math.min(overall, 1)))
end

-- Counts so much of a task's share in, and returns how far the job is. fraction: from 0 to 1, or nil if nobody knows.
local function advance(job, task, share, fraction)
  local found = redis.call('HMGET', job.key, 'overall', 'part:' .. task)
  local overall, part = tonumber(found[1] or 0), tonumber(found[2] or 0)
  local reached = share * (fraction or 0)
  if reached > part then
    overall, part = overall + reached - part, reached
    redis.call('HSET', job.key, 'overall', string.format('%.12f', overall), 'part:' .. task, string.format('%.12f', part))
  end
  return rounded(overall)
end

-- The same for a task that is done, of which nothing more is to be remembered.
local function complete(job, task, share)
  local overall = advance(job, task, share, 1)
  redis.call('HDEL', job.key, 'part:' .. task)
  return overall
end

-- What is told in the place of events that are not kept.
local function snapshot_of(job)
  local known = tonumber(redis.call('HGET', job.key, 'overall') or 0)
  local overall = job.state == 'result' and 1 or rounded(known)
  return cjson.encode({state = job.state, seq = job.seq, of = job.of, done = job.done, overall = overall})
end
