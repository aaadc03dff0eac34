-- What keeps a task that is not yet to be published, and asks for the turn of a job. Comes after jobs.lua.

-- Keeps a task; see put_due.lua for what is given. Does nothing for a job that is cancelled.
local function keep_task(jobs, at, task, queue, bell, message, job, due, held, chord, chord_seconds, record_seconds)
  local key = jobs .. 'job:' .. job
  if job ~= '' and redis.call('HGET', key, 'state') == 'cancelled' then
    return 0
  elseif held == '1' then
    hold(key, task, queue, bell, message, due)
  else
    put_due(jobs, task, queue, bell, message, job, due)
  end
  if job == '' then
    return 1
  end
  if chord ~= '' and chord_seconds > 0 then
    redis.call('SADD', key .. ':chords', whole(chord_seconds) .. ' ' .. chord)
    redis.call('ZADD', jobs .. 'chords', 'NX', whole(at + chord_seconds * 250), job)
  end
  if redis.call('TTL', key) < 0 then
    return 1
  end
  local seconds = math.ceil(math.max(due - at, 0) / 1000) + record_seconds
  keep_record(key, seconds, 'GT')
  for _, part in ipairs({':due', ':held', ':chords'}) do
    redis.call('EXPIRE', key .. part, whole(seconds), 'NX')
  end
  return 1
end

-- Asks for the turn of a job with a closed gate, all of whose first tasks are held.
local function ask_for_turn(jobs, id, at)
  local key, due = jobs .. 'job:' .. id, 0
  for _, kept in ipairs(redis.call('HVALS', key .. ':held')) do
    due = math.max(due, cmsgpack.unpack(kept)[4])
  end
  if due <= at then
    take_turn(jobs, id, at)
    return
  end
  release_held(key, function(task, queue, bell, message, when)
    put_due(jobs, task, queue, bell, message, id, when)
  end)
end
