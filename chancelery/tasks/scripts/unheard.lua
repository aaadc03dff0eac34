-- Finds what the jobs of a user have said to sockets that were found dead soon after, so that perhaps nobody heard it,
-- and has it wait in the user's inbox.
--
-- KEYS[1]  the prefix of jobs
-- ARGV     the user, milliseconds within which a dead socket is found out

local MOST_EVENTS = 200

-- Returns when the last of the job's sockets was found dead; nil if none was, or one of them may still be open.
local function died_at(job)
  local latest
  for _, socket in ipairs(job.sockets or {}) do
    local died = tonumber(redis.call('GET', job.root .. 'died:' .. socket[1]) or nil)
    if died then
      latest = math.max(latest or 0, died)
    elseif not has_gone(socket) then
      return nil
    end
  end
  return latest
end

-- Returns the seq of the first event from then on, or nil.
local function first_since(job, at)
  local first
  for _, entry in ipairs(redis.call('XREVRANGE', job.key .. ':events', '+', '-', 'COUNT', MOST_EVENTS)) do
    if tonumber(entry[2][6]) < at then
      break
    end
    first = tonumber(string.match(entry[1], '^%d+'))
  end
  return first
end

for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. 'mine:' .. ARGV[1], 0, -1)) do
  local job = open_job(KEYS[1] .. 'job:' .. id)
  local died = job and died_at(job)
  local first = died and first_since(job, died - ARGV[2])
  if first then
    local missed = tonumber(redis.call('HGET', job.key, 'missed') or nil)
    redis.call('HSET', job.key, 'missed', math.min(missed or first - 1, first - 1))
    list_for(job, 'inbox:', job.owner, job.open_seconds)
  end
end
