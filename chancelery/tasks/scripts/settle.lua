-- Stores what Celery keeps of a task and, in the same step, what that means for the task's job.
--
-- KEYS[1]  the job's record
-- KEYS[2]  Celery's key of the task
-- ARGV     task, change ("started", "retry", "failed" or "done"), attempt, Celery's value ("" to store nothing), seconds
--          that it is kept (0 for ever), process, "1" if it is the task itself that says so, or "0"; then for "retry"
--          and "failed": kind of the event, its data as JSON and as msgpack; for "done": the result as JSON ("" if it cannot be), as msgpack ("" if it cannot be), "1" if it can be a
--          message, a reference for the error that takes its place when it cannot be sent, the address at which it is
--          had if it is too large for a frame ("" if nobody has asked for that), its largest size then, what is
--          published now (see opening.lua) or "", and which part of a chord it is (see parts.lua) or ""
-- Returns  'address' when that has to be known first, and nothing was done; 'last' when it is the last part of a chord,
--          and nothing was done; -1 when there is no such job or task (nothing was stored); else the kind of the event that ended the job just now ("" if none did), its code for a result
--          that could not be sent, how many addresses had no room

local task, change, attempt, process = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[6]
local entry = redis.call('HGET', KEYS[1] .. ':members', task)
local job = entry and open_job(KEYS[1])
if not job then
  return -1
end
local number, rank, final, place = string.match(entry, '^(%d+) (%d+) (%d) (.*)$')
local parent, index, share, name = string.match(place, '^(%S*) (%d+) (%S+) (.*)$')
rank = tonumber(rank)

local reached = ({started = 4 * attempt + 1, retry = 4 * attempt + 2, failed = FAILED, done = DONE})[change]
if rank == DONE or reached < rank then
  return {'', '', 0}  -- what succeeded stays so, as Celery has it; and what was overtaken undoes nothing
end
if change == 'done' and final == '1' and not job.ended and lacks_address(job, ARGV[8], ARGV[12], tonumber(ARGV[13])) then
  return 'address'
end
if change == 'done' and ARGV[15] ~= '' and is_last_part(ARGV[15]) then
  return 'last'
end
if ARGV[4] ~= '' then
  if tonumber(ARGV[5]) > 0 then
    redis.call('SETEX', KEYS[2], ARGV[5], ARGV[4])
  else
    redis.call('SET', KEYS[2], ARGV[4])
  end
  redis.call('PUBLISH', KEYS[2], ARGV[4])
end

if reached == rank then
  return {'', '', 0}
end
redis.call('HSET', KEYS[1] .. ':members', task, string.format('%s %.0f %s %s', number, reached, final, place))
-- What follows goes on even if the job has failed meanwhile, for what was begun does; but not of one that was cancelled.
if change == 'done' and ARGV[14] ~= '' and job.state ~= 'cancelled' then
  open_with(job.root, job.id, ARGV[14], false)
end
if job.ended then
  return {'', '', 0}
end

local function event(kind, json, packed)
  return {kind = kind, json = json, packed = packed, sender = name, process = process}
end

local function ended(kind, json, packed, code)
  return {kind, code or '', finish(job, event(kind, json, packed))}
end

local function failed(code, reference)
  local data = {code = code, reference = reference, message = 'the task failed'}
  return ended('error', cjson.encode(data), pack(data), code)
end

local function went_on(kind, json, packed)
  emit(job, event(kind, json, packed))
  renew(job)
  return {'', '', 0}
end

local function step(done)
  local json = cjson.encode({task = task, name = name, state = 'done', parent = parent ~= '' and parent or cjson.null,
    index = tonumber(index), weight = tonumber(share), of = job.of, done = done,
    overall = complete(job, task, tonumber(share))})
  return went_on('step', json, '')
end

local function fault(json, packed)
  local raw = job.style == 'message'
  if raw and ARGV[10] ~= '1' then
    return 'not_a_message'
  elseif not raw and (json == '' or (packed == '' and job.queued)) then
    return 'unsendable_result'
  end
  local most = raw and job.max_bytes or math.max(job.max_bytes, tonumber(ARGV[13]))
  return #(raw and packed or json) > most and 'result_too_large'
end

local function array_of(items)
  local count = #items
  local head = count < 16 and string.char(0x90 + count) or string.char(0xdd) .. struct.pack('>I4', count)
  return head .. table.concat(items)
end

-- Puts the results of a group together, as the canvas nests them.
local function gathered(node, parts)
  if type(node) == 'string' then
    return parts[node], parts['=' .. node]
  end
  local json, packed = {}, {}
  for position, child in ipairs(node) do
    json[position], packed[position] = gathered(child, parts)
  end
  return '[' .. table.concat(json, ',') .. ']', array_of(packed)
end

local function all_parts()
  local flat = redis.call('HGETALL', KEYS[1] .. ':parts')
  local parts = {}
  for position = 1, #flat, 2 do
    parts[flat[position]] = flat[position + 1]
  end
  return gathered(cmsgpack.unpack(redis.call('HGET', KEYS[1], 'finals')), parts)
end

local function done(json, packed, reference)
  local count = job.done + 1
  set(job, 'done', count)
  if final == '0' then
    return step(count)
  end
  local wrong = fault(json, packed)
  if wrong then
    return failed(wrong, reference)
  end
  local left = job.left - 1
  set(job, 'left', left)
  if job.grouped then
    redis.call('HSET', KEYS[1] .. ':parts', task, json, '=' .. task, packed)
    redis.call('EXPIRE', KEYS[1] .. ':parts', job.open_seconds)
    if left > 0 then
      return step(count)
    end
    json, packed = all_parts()
    wrong = fault(json, packed)
    if wrong then
      return failed(wrong, reference)
    end
  end
  if job.style ~= 'message' and #json > job.max_bytes then
    return {'result', '', finish(job, kept_apart(job, json, ARGV[12], event('result')))}
  end
  return ended('result', json ~= '' and json or 'null', packed)
end

local answer = {'', '', 0}
if ARGV[7] == '1' then
  say_started(job, task, name, process)
end
if change == 'started' then
  renew(job)
elseif change == 'retry' then
  answer = went_on(ARGV[8], ARGV[9], ARGV[10])
elseif change == 'failed' then
  answer = ended(ARGV[8], ARGV[9], ARGV[10])
else
  answer = done(ARGV[8], ARGV[9], ARGV[11])
end
close(job)
return answer
