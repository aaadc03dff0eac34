-- Does what is to be done when a socket has gone, for the jobs that were not to go on without it.
--
-- KEYS[1]  the prefix of jobs
-- ARGV     the socket, "1" if it has said goodbye; "0" to find out; seconds to remember that it was found dead, or "0"
-- Returns  for each job that no other socket is bound or attached to: id, milliseconds after which it is to be
--          cancelled

local answer = {}
if ARGV[3] ~= '0' then
  redis.call('SET', KEYS[1] .. 'died:' .. ARGV[1], string.format('%d', clock_ms('')), 'EX', ARGV[3])
end

-- Also of a socket that is not watched, it is known now that it has gone.
local function has_left(job)
  for _, socket in ipairs(job.sockets or {}) do
    if socket[1] == ARGV[1] and ARGV[2] == '1' then
      socket[3] = 1
    end
  end
  return #other_sockets(job, ARGV[2] == '1' and ARGV[1] or '') == 0
end

for _, id in ipairs(redis.call('SMEMBERS', KEYS[1] .. 'leaving:' .. ARGV[1])) do
  local job = open_job(KEYS[1] .. 'job:' .. id)
  if job and not job.ended then
    local is_alone = has_left(job)
    keep_sockets(job, job.sockets or {})
    if is_alone and not job.more then
      set(job, 'lapses', string.format('%.0f', now + job.leave_ms))
      answer[#answer + 1] = {id, job.leave_ms}
    end
    close(job)
  end
end
if ARGV[2] == '1' then
  redis.call('DEL', KEYS[1] .. 'leaving:' .. ARGV[1])
end
return answer
