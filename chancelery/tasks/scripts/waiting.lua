-- What of jobs waits: tasks for their time, jobs for their turn. Comes between the layer's shared files and jobs.lua.
--
-- Keys, all under the prefix of jobs:
--   due               zset    task -> when it goes to Celery's queue (ms)
--   due-tasks         hash    task -> msgpack {queue's key, bell's key, message, job ("" for none)}
--   job:<id>:due      set     its tasks in "due"
--   job:<id>:held     hash    task -> msgpack {queue's key, bell's key, message, when (ms, 0 for at once)}: not before
--                             the job's turn
--   running:<key>     set     jobs that hold a place of that limit
--   waiting:<key>     list    jobs that wait for a place
--   limits            zset    key -> when to look whether its places are held by jobs that are no more (ms)
--   dedupe:<key>      string  the job to which a second caller is attached
--   job:<id>:pointer  string  the name of that key
--   chords            zset    job -> when Celery's keys of its chords are to be kept again (ms)
--   job:<id>:chords   set     "<seconds> <key>" of chords of which a part has waited
--
-- A job with a limit has a gate: "closed" until it asks for its turn, "waiting",
-- "open", and "left" once it has ended. What waits has no life of its own that could drop it unseen: the record of a job
-- that waits for its turn is persistent.

local LOOK_MS, REST_MS = 10000, 60000
local FINAL_RANK = 1000000000000
local CHORD_PARTS = {'', '.s', '.j', '.t', '.d'}
local RECORD_PARTS = {'', ':members', ':events'}
local RARE_PARTS = {':parts', ':inputs', ':due', ':held', ':chords', ':pointer'}

local function clock_ms(clock)
  if clock ~= '' then
    return tonumber(clock)
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function whole(number)
  return string.format('%d', number)
end

-- Calls a command with every key of a job's record.
local function with_record(command, key, ...)
  for _, part in ipairs(RECORD_PARTS) do
    redis.call(command, key .. part, ...)
  end
  if redis.call('EXISTS', key .. ':parts', key .. ':inputs', key .. ':due', key .. ':held', key .. ':chords',
      key .. ':pointer') == 0 then
    return
  end
  for _, part in ipairs(RARE_PARTS) do
    redis.call(command, key .. part, ...)
  end
  local pointer = redis.call('GET', key .. ':pointer')
  if pointer then
    redis.call(command, pointer, ...)
  end
end

-- Gives a job's record so many seconds to live.
local function keep_record(key, seconds, ...)
  with_record('EXPIRE', key, whole(seconds), ...)
end

-- Publishes a task, as chancelery/tasks/engine/scripts/put.lua does.
local function publish(queue, bell, message)
  redis.call('LPUSH', queue, message)
  if redis.call('EXISTS', bell) == 0 then
    redis.call('LPUSH', bell, '1')
    redis.call('EXPIRE', bell, 60)
  end
end

local function put_due(jobs, task, queue, bell, message, job, due)
  redis.call('ZADD', jobs .. 'due', whole(due), task)
  redis.call('HSET', jobs .. 'due-tasks', task, cmsgpack.pack({queue, bell, message, job}))
  if job ~= '' then
    redis.call('SADD', jobs .. 'job:' .. job .. ':due', task)
  end
end

-- Takes a task out of those that wait for their time; returns what was kept of it, or nil.
local function take_due(jobs, task)
  local kept = redis.call('HGET', jobs .. 'due-tasks', task)
  redis.call('ZREM', jobs .. 'due', task)
  redis.call('HDEL', jobs .. 'due-tasks', task)
  local found = kept and cmsgpack.unpack(kept)
  if found and found[4] ~= '' then
    redis.call('SREM', jobs .. 'job:' .. found[4] .. ':due', task)
  end
  return found or nil
end

local function hold(key, task, queue, bell, message, due)
  redis.call('HSET', key .. ':held', task, cmsgpack.pack({queue, bell, message, due}))
end

-- Calls *take* with each task that is held, and its parts.
local function release_held(key, take)
  local flat = redis.call('HGETALL', key .. ':held')
  redis.call('DEL', key .. ':held')
  for position = 1, #flat, 2 do
    take(flat[position], unpack(cmsgpack.unpack(flat[position + 1])))
  end
end

-- Lets a job begin that has its turn.
local function open_gate(jobs, id, limit, at)
  local key = jobs .. 'job:' .. id
  redis.call('SADD', jobs .. 'running:' .. limit, id)
  redis.call('HSET', key, 'gate', 'open')
  redis.call('ZADD', jobs .. 'limits', 'NX', whole(at + REST_MS), limit)
  release_held(key, function(_, queue, bell, message)
    publish(queue, bell, message)
  end)
end

local function has_place(jobs, limit, most)
  return redis.call('SCARD', jobs .. 'running:' .. limit) < most
end

-- Gives the free places of a limit to those who wait for them, in order.
local function fill_places(jobs, limit, at)
  local waiting = jobs .. 'waiting:' .. limit
  local id = redis.call('LINDEX', waiting, 0)
  while id do
    local found = redis.call('HMGET', jobs .. 'job:' .. id, 'gate', 'terms')
    if found[1] == 'waiting' then
      local terms = cmsgpack.unpack(found[2])[2]
      if not has_place(jobs, limit, terms.most) then
        return
      end
      open_gate(jobs, id, limit, at)
      keep_record(jobs .. 'job:' .. id, terms.open_seconds)
    end
    redis.call('LPOP', waiting)
    id = redis.call('LINDEX', waiting, 0)
  end
end

-- Gives a job with a closed gate a place, or lets it wait for one.
local function take_turn(jobs, id, at)
  local key = jobs .. 'job:' .. id
  local terms = cmsgpack.unpack(redis.call('HGET', key, 'terms'))[2]
  local waiting = jobs .. 'waiting:' .. terms.limit
  if redis.call('EXISTS', waiting) == 0 and has_place(jobs, terms.limit, terms.most) then
    open_gate(jobs, id, terms.limit, at)
    return
  end
  redis.call('RPUSH', waiting, id)
  redis.call('HSET', key, 'gate', 'waiting')
  with_record('PERSIST', key)
  local look = redis.call('ZSCORE', jobs .. 'limits', terms.limit)
  if not look or tonumber(look) > at + LOOK_MS then
    redis.call('ZADD', jobs .. 'limits', whole(at + LOOK_MS), terms.limit)
  end
end

-- What the end of a job means for what waits of it, and for those who wait for it. kind: of the event that ends it.
local function leave(job, kind)
  local jobs = job.root
  if (job.dedupe or '') ~= '' then
    local pointer = jobs .. 'dedupe:' .. job.dedupe
    redis.call('DEL', job.key .. ':pointer')
    if redis.call('GET', pointer) == job.id then
      redis.call('DEL', pointer)
    end
  end
  -- Of a job that failed, what was begun goes on, and is tried again; of one that was cancelled, nothing does.
  if kind == 'cancelled' or job.state == 'accepted' then
    for _, task in ipairs(redis.call('SMEMBERS', job.key .. ':due')) do
      take_due(jobs, task)
    end
  end
  if (job.limit or '') ~= '' then
    if redis.call('HGET', job.key, 'gate') == 'waiting' then
      redis.call('LREM', jobs .. 'waiting:' .. job.limit, 1, job.id)
    end
    redis.call('SREM', jobs .. 'running:' .. job.limit, job.id)
    redis.call('HSET', job.key, 'gate', 'left')
    redis.call('DEL', job.key .. ':held')
    fill_places(jobs, job.limit, now)
  end
end

-- Hands a task whose time has come to Celery, or to its job when that has to wait for its turn. Returns the job then.
local function hand_over(jobs, task)
  local found = take_due(jobs, task)
  if not found then
    return nil
  end
  local queue, bell, message, job = unpack(found)
  local key = jobs .. 'job:' .. job
  if job ~= '' then
    local state, gate = unpack(redis.call('HMGET', key, 'state', 'gate'))
    local rank = tonumber(string.match(redis.call('HGET', key .. ':members', task) or '0 0 ', '^%d+ (%d+) '))
    if state == 'cancelled' or rank >= FINAL_RANK then
      return nil
    elseif gate == 'closed' or gate == 'waiting' then
      hold(key, task, queue, bell, message, 0)
      return gate == 'closed' and job or nil
    end
  end
  publish(queue, bell, message)
  return nil
end

-- Hands tasks over, and then asks for the turns of their jobs, so that the tasks of one begin together.
local function hand_all_over(jobs, tasks, at)
  local asking = {}
  for _, task in ipairs(tasks) do
    local job = hand_over(jobs, task)
    if job then
      asking[#asking + 1] = job
    end
  end
  for _, job in ipairs(asking) do
    if redis.call('HGET', jobs .. 'job:' .. job, 'gate') == 'closed' then
      take_turn(jobs, job, at)
    end
  end
end
