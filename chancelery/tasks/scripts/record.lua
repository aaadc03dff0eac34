-- Records a job before anything of it is published, and says that it was accepted.
--
-- KEYS[1]  the job's record
-- ARGV     terms, final tasks (msgpack), their number, message, seconds that the record is kept, data of the event as
--          JSON and as msgpack, sender, process, a claim for the asking socket or "", what is published at once (see
--          opening.lua) or "", hops (see jobs.lua), and for each task: id, "1" for a final one or "0", parent, index,
--          share and name
-- Returns  1, or 0 when the job is recorded already (this is a repetition); or the id of the job that goes on under the
--          same `dedupe`: its addresses were added to that one

if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
local asked, root = terms_of(ARGV[1]), string.match(KEYS[1], '^(.*)job:[^:]*$')
local pointer = asked.dedupe ~= '' and root .. 'dedupe:' .. asked.dedupe
local holder = pointer and redis.call('GET', pointer)
local other = holder and open_job(root .. 'job:' .. holder)
if other and not other.ended then
  attach(other, asked.replies, ARGV[8], ARGV[9])
  close(other)
  return other.id
end
local job = job_with(asked, KEYS[1], 'accepted', 0, 0, ARGV[3], ARGV[12])
job.changes = {'state', 'accepted', 'done', 0, 'left', ARGV[3], 'hops', ARGV[12], 'terms', ARGV[1], 'finals', ARGV[2],
  'message', ARGV[4], 'renew_at', whole(now + job.open_seconds * 100)}
if pointer then
  redis.call('SET', KEYS[1] .. ':pointer', pointer)
  redis.call('SET', pointer, string.match(KEYS[1], '[^:]*$'))
end
if job.limit ~= '' then
  set(job, 'gate', 'closed')
end
local members = {}
for index = 13, #ARGV, 3 do
  members[#members + 1] = ARGV[index]
  members[#members + 1] = string.format('%d 0 %s %s', (index - 10) / 3, ARGV[index + 1], ARGV[index + 2])
end
call_in_parts('HSET', KEYS[1] .. ':members', members)
for _, reply in ipairs(job.replies) do
  if reply[1] == 'socket' and reply[2] == job.asker then
    bind(job, reply[2], reply[3], job.watched, 0, reply[4])
  end
end
if job.owner ~= '' then
  list_for(job, 'mine:', job.owner, tonumber(ARGV[5]))
elseif job.asker ~= '' then
  list_for(job, 'mine:socket:', job.asker, tonumber(ARGV[5]))
end
emit(job, {kind = 'accepted', json = ARGV[6], packed = ARGV[7], sender = ARGV[8], process = ARGV[9], claim = ARGV[10]})
close(job)
keep_record(KEYS[1], ARGV[5])
watch_over(job, ARGV[5])
if ARGV[11] ~= '' then
  open_with(root, job.id, ARGV[11], job.limit ~= '')
end
return 1
