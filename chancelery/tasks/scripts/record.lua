-- Records a job before anything of it is published, and says that it was accepted.
--
-- KEYS[1]  the job's record
-- ARGV     terms, final tasks (msgpack), their number, message, seconds that the record is kept, data of the event as
--          JSON and as msgpack, sender, process, a claim for the asking socket or "", and for each task: id, "1" for a
--          final one or "0", name
-- Returns  1, or 0 when the job is recorded already (this is a repetition); or the id of the job that goes on under the
--          same `dedupe`: its addresses were added to that one

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local asked, root = cmsgpack.unpack(ARGV[1])[2], string.match(KEYS[1], '^(.*)job:[^:]*$')
local pointer = asked.dedupe ~= '' and root .. 'dedupe:' .. asked.dedupe
local holder = pointer and redis.call('GET', pointer)
local other = holder and open_job(root .. 'job:' .. holder)
if other and not other.ended then
  attach(other, asked.replies, ARGV[8], ARGV[9])
  commit()
  return other.id
end
redis.call('HSET', KEYS[1], 'state', 'accepted', 'seq', 0, 'done', 0, 'terms', ARGV[1], 'finals', ARGV[2],
  'left', ARGV[3], 'message', ARGV[4], 'renew_at', 0)
if pointer then
  redis.call('SET', KEYS[1] .. ':pointer', pointer)
  redis.call('SET', pointer, string.match(KEYS[1], '[^:]*$'))
end
if asked.eta_ms > 0 then
  redis.call('HSET', KEYS[1], 'eta', string.format('%d', asked.eta_ms))
end
if asked.limit ~= '' then
  redis.call('HSET', KEYS[1], 'gate', 'closed')
end
for index = 11, #ARGV, 3 do
  redis.call('HSET', KEYS[1] .. ':members', ARGV[index],
    string.format('%d 0 %s %s', (index - 8) / 3, ARGV[index + 1], ARGV[index + 2]))
end
local job = open_job(KEYS[1])
for _, reply in ipairs(job.replies) do
  if reply[1] == 'socket' and reply[2] == job.asker then
    bind(job, reply[2], reply[3], job.watched, 0)
  end
end
if job.owner ~= '' then
  list_for(job, 'mine:', job.owner, tonumber(ARGV[5]))
elseif job.asker ~= '' then
  list_for(job, 'mine:socket:', job.asker, tonumber(ARGV[5]))
end
emit(job, {kind = 'accepted', json = ARGV[6], packed = ARGV[7], sender = ARGV[8], process = ARGV[9], claim = ARGV[10]})
renew(job)
keep_for(job, ARGV[5])
commit()
return 1
