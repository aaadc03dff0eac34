-- Ends the jobs that would be open for ever: of which nothing was heard until their record was about to expire, or that
-- were recorded and never published. Comes after jobs.lua.
--
-- Keys, all under the prefix of jobs:
--   open   zset   job that has not ended -> when to look at it (ms): a tenth of JOB_EXPIRY before its record expires, if
--                 it was not kept for longer since
--
-- A job's field "publishing" is there while its first tasks are on their way to a broker in another database.

local SHARE = 100 -- ms for each second that the record is kept
local PUBLISHING_MS = 60000

local function look_later(jobs, id, at)
  redis.call('ZADD', jobs .. 'open', whole(at), id)
end

-- Has a job ended if nothing is heard of it. seconds: that its record is kept.
local function watch_over(job, seconds)
  look_later(job.root, job.id, now + seconds * 1000 - job.open_seconds * SHARE)
end

-- Has a job ended soon if nobody says that it was published.
local function watch_publishing(jobs, id, at)
  redis.call('HSET', jobs .. 'job:' .. id, 'publishing', '1')
  look_later(jobs, id, at + PUBLISHING_MS)
end

local function give_up(job, code, message, process)
  local data = {code = code, reference = job.id, message = message}
  finish(job, {kind = 'error', json = cjson.encode(data), packed = pack(data), sender = 'overdue', process = process})
  close(job)
  return code
end

-- Looks at a job whose time has come. Returns the code of the error that it was ended with, if it was.
local function look_at_open(jobs, id, at, process)
  local key = jobs .. 'job:' .. id
  local job = open_job(key)
  if not job or job.ended then
    redis.call('ZREM', jobs .. 'open', id)
    return nil
  end
  if redis.call('HDEL', key, 'publishing') == 1 and job.state == 'accepted' then
    return give_up(job, 'publish_failed', 'the task could not be started', process)
  end
  local expires, margin = redis.call('PEXPIRETIME', key), job.open_seconds * SHARE
  if expires == -1 then -- it waits for its turn
    look_later(jobs, id, at + margin)
  elseif expires - margin > at then
    look_later(jobs, id, expires - margin)
  else
    return give_up(job, 'lost', 'the task failed', process)
  end
  return nil
end
