-- Lets one of a job's runs do something that is done once, or takes that back.
--
-- KEYS[1]  the job's record
-- ARGV     "begin" or "undo", what is done once, run
-- Returns  the run that does it, or has done it; an empty string when it is nobody's any more, or the job was cancelled;
--          nil when there is no such job

local field = 'once:' .. ARGV[2]
local found = redis.call('HMGET', KEYS[1], 'state', field)
local state, holder = found[1], found[2]
if not state then
  return false
end
if ARGV[1] == 'begin' then
  if not holder and state ~= 'cancelled' then
    redis.call('HSET', KEYS[1], field, ARGV[3])
    holder = ARGV[3]
  end
elseif holder == ARGV[3] then
  redis.call('HDEL', KEYS[1], field)
  holder = nil
end
return holder or ''
