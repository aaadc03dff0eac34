-- Keeps the last wills of connections, carries them out when their process has died, and ends processes.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, and then
--          "leave", milliseconds that a process may be silent, then for each will: lane, channel,
--              terms (see send_to_channel), body
--          "end", process: it has stopped; nothing is done when there are wills, which are the reaper's then
--          "reap", milliseconds that a message lives, most wills to carry out in one go
-- Returns  for "reap": the process that was ended ("" for none), wills carried out, 1 if there may be more to do

begin(KEYS[1], ARGV[1])

if ARGV[2] == 'leave' then
  for index = 4, #ARGV, 4 do
    leave_will(ARGV[index], ARGV[index + 1], ARGV[index + 2], ARGV[index + 3], ARGV[3])
  end
  return
end

if ARGV[2] == 'end' then
  if redis.call('EXISTS', prefix .. 'wills:' .. ARGV[3]) == 0 then
    end_process(ARGV[3])
    note_end(ARGV[3])
  end
  commit()
  return
end

local process = redis.call('ZRANGEBYSCORE', prefix .. 'processes', '-inf', now, 'LIMIT', 0, 1)[1]
if not process then
  return {'', 0, 0}
end
note_end(process) -- before the last of its wills: from now on it has to be told, even if it comes back meanwhile
local key = prefix .. 'wills:' .. process
local _, found = unpack(redis.call('HSCAN', key, 0, 'COUNT', ARGV[4]))
for index = 1, #found, 2 do
  local will = found[index + 1]
  local length = string.byte(will, 3)
  local terms = (string.byte(will, 1) + 1) * ATTEMPTS_UNIT - 1 -- its attempts, and no bound that it could exceed
  send_to_channel(string.sub(will, 4, 3 + length), found[index], string.sub(will, 4 + length), tonumber(ARGV[3]),
    terms, math.huge)
  redis.call('HDEL', key, found[index])
end
if redis.call('EXISTS', key) == 0 then
  end_process(process)
end
commit()
return {process, #found / 2, 1}
