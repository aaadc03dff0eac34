-- Keeps a task that is not yet to be published.
--
-- KEYS[1]  the prefix of jobs
-- ARGV     task, keys of its queue and of its bell, message, job ("" for none), when it is due (ms, 0 for at once), "1"
--          when its job has not had its turn, key of the chord whose header it is part of ("" for none), seconds that
--          Celery keeps such keys (0 for ever), seconds that the record is kept from then on, clock ("" for Redis' own)
-- Returns  1, or 0 when the job is cancelled: nothing was kept. A repetition changes nothing.

local jobs, task, job, due = KEYS[1], ARGV[1], ARGV[5], tonumber(ARGV[6])
local key, at = jobs .. 'job:' .. job, clock_ms(ARGV[11])
if job ~= '' and redis.call('HGET', key, 'state') == 'cancelled' then
  return 0
elseif ARGV[7] == '1' then
  hold(key, task, ARGV[2], ARGV[3], ARGV[4], due)
else
  put_due(jobs, task, ARGV[2], ARGV[3], ARGV[4], job, due)
end
if job ~= '' then
  if ARGV[8] ~= '' and tonumber(ARGV[9]) > 0 then
    redis.call('SADD', key .. ':chords', ARGV[9] .. ' ' .. ARGV[8])
    redis.call('ZADD', jobs .. 'chords', 'NX', whole(at + ARGV[9] * 250), job)
  end
  local seconds = math.ceil(math.max(due - at, 0) / 1000) + ARGV[10]
  if redis.call('TTL', key) < 0 then
    return 1
  end
  keep_record(key, seconds, 'GT')
  for _, part in ipairs({':due', ':held', ':chords'}) do
    redis.call('EXPIRE', key .. part, whole(seconds), 'NX')
  end
end
return 1
