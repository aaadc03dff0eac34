-- Publishes tasks whose time has come, and sees to what else has to be looked after from time to time: places that are
-- held by jobs which are no more, Celery's keys of chords that wait, and jobs of which nothing is heard.
--
-- KEYS[1]  the prefix of jobs
-- ARGV     how many tasks at most, clock ("" for Redis' own), process
-- Returns  how many tasks were due, then id and code of each job that was ended

local AT_ONCE = 100
local jobs, at = KEYS[1], clock_ms(ARGV[2])

local function reached(name, most)
  return redis.call('ZRANGEBYSCORE', jobs .. name, '-inf', whole(at), 'LIMIT', 0, most)
end

local function goes_on(id)
  local state = redis.call('HGET', jobs .. 'job:' .. id, 'state')
  return state and state ~= 'result' and state ~= 'error' and state ~= 'cancelled'
end

local function keep_chords(id)
  local key = jobs .. 'job:' .. id .. ':chords'
  local least
  for _, chord in ipairs(goes_on(id) and redis.call('SMEMBERS', key) or {}) do
    local seconds, base = string.match(chord, '^(%d+) (.*)$')
    for _, part in ipairs(CHORD_PARTS) do
      redis.call('EXPIRE', base .. part, seconds)
    end
    least = math.min(least or tonumber(seconds), tonumber(seconds))
  end
  if least then
    redis.call('ZADD', jobs .. 'chords', whole(at + least * 250), id)
  else
    redis.call('ZREM', jobs .. 'chords', id)
  end
end

local function look_at(limit)
  local running = jobs .. 'running:' .. limit
  for _, id in ipairs(redis.call('SMEMBERS', running)) do
    if not goes_on(id) then
      redis.call('SREM', running, id)
    end
  end
  fill_places(jobs, limit, at)
  if redis.call('EXISTS', jobs .. 'waiting:' .. limit) == 1 then
    redis.call('ZADD', jobs .. 'limits', whole(at + LOOK_MS), limit)
  elseif redis.call('EXISTS', running) == 1 then
    redis.call('ZADD', jobs .. 'limits', whole(at + REST_MS), limit)
  else
    redis.call('ZREM', jobs .. 'limits', limit)
  end
end

local tasks = reached('due', ARGV[1])
hand_all_over(jobs, tasks, at)
for _, id in ipairs(reached('chords', AT_ONCE)) do
  keep_chords(id)
end
for _, limit in ipairs(reached('limits', AT_ONCE)) do
  look_at(limit)
end
local found = {#tasks}
for _, id in ipairs(reached('open', AT_ONCE)) do
  local code = look_at_open(jobs, id, at, ARGV[3])
  if code then
    found[#found + 1] = id
    found[#found + 1] = code
  end
end
return found
