-- Does what is to be done when a socket has gone, for the jobs that were not to go on without it.
--
-- KEYS[1]  the prefix of jobs
-- ARGV     the socket, "1" if it has said goodbye; "0" to find out
-- Returns  for each job that no other socket is bound or attached to: id, milliseconds after which it is to be
--          cancelled

local answer = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1] .. 'leaving:' .. ARGV[1])) do
  local job = open_job(KEYS[1] .. 'job:' .. id)
  if job and not job.ended then
    unbind(job, ARGV[2] == '1' and ARGV[1] or '')
    if #job.sockets == 0 and not job.more then
      redis.call('HSET', job.key, 'lapses', string.format('%.0f', now + job.leave_ms))
      answer[#answer + 1] = {id, job.leave_ms}
    end
  end
end
if ARGV[2] == '1' then
  redis.call('DEL', KEYS[1] .. 'leaving:' .. ARGV[1])
end
return answer
