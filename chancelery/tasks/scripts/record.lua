-- Records a job before anything of it is published, and says that it was accepted.
--
-- KEYS[1]  the job's record
-- ARGV     terms, final tasks (msgpack), their number, message, seconds that the record is kept, data of the event as
--          JSON and as msgpack, sender, process, and for each task: id, "1" for a final one or "0", name
-- Returns  1, or 0 when the job is recorded already (this is a repetition)

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
redis.call('HSET', KEYS[1], 'state', 'accepted', 'seq', 0, 'done', 0, 'terms', ARGV[1], 'finals', ARGV[2],
  'left', ARGV[3], 'message', ARGV[4], 'renew_at', 0)
for index = 10, #ARGV, 3 do
  redis.call('HSET', KEYS[1] .. ':members', ARGV[index],
    string.format('%d 0 %s %s', (index - 7) / 3, ARGV[index + 1], ARGV[index + 2]))
end
local job = open_job(KEYS[1])
emit(job, {kind = 'accepted', json = ARGV[6], packed = ARGV[7], sender = ARGV[8], process = ARGV[9]})
renew(job)
keep_for(job, ARGV[5])
commit()
return 1
