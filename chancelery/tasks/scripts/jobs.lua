-- What the scripts of jobs share: a job's record, its events, and their way to whoever asked. Comes after the layer's
-- shared files, whose functions send.
--
-- Keys, all under the prefix of jobs:
--   job:<id>           hash    state, seq (of the last durable event), done (tasks that ended well), left (final tasks
--                              that have not ended), renew_at (ms), terms and message (chancelery/tasks/record.py),
--                              finals (msgpack), chunk:<task> (attempt and number of the last chunk)
--   job:<id>:members   hash    task -> "<index> <rank> <1 for a final task> <name>"
--   job:<id>:events    stream  <seq>-1 -> kind, data (JSON), at (ms)
--   job:<id>:parts     hash    final task -> its result as JSON, and "=" .. task -> as msgpack, until all are in
--
-- What a task has come to is its rank, which only rises: a task that is handed out again says nothing twice. Attempt a
-- started has the rank 4a + 1, is to be repeated 4a + 2; then come FAILED and DONE.

local TERMS_VERSION = 1
local FAILED, DONE = 1000000000000, 1000000000001
local MAX_HOPS = 16
local ENDS = {result = true, error = true, cancelled = true}

-- Returns the job's record, or nil when there is none, and makes the layer's functions ready to send.
local function open_job(key)
  local found = redis.call('HMGET', key, 'state', 'seq', 'terms', 'renew_at')
  if not found[1] then
    return nil
  end
  local terms = cmsgpack.unpack(found[3])
  if terms[1] > TERMS_VERSION then
    error('the record of a job has version ' .. terms[1] .. ', this process reads up to ' .. TERMS_VERSION)
  end
  local job = terms[2]
  job.key, job.state, job.seq, job.ended = key, found[1], tonumber(found[2]), ENDS[found[1]]
  job.id, job.renew_at = string.match(key, '([^:]*)$'), tonumber(found[4])
  begin(job.layer, '')
  return job
end

local function keep_for(job, seconds, ...)
  for _, suffix in ipairs({'', ':members', ':events', ':parts'}) do
    redis.call('EXPIRE', job.key .. suffix, seconds, ...)
  end
end

-- Keeps a job that goes on: from time to time, and never for less than before.
local function renew(job)
  if now >= job.renew_at then
    redis.call('HSET', job.key, 'renew_at', string.format('%d', now + job.open_seconds * 100))
    keep_for(job, job.open_seconds, 'GT')
  end
end

local function trail_to(job, address, sender, process)
  local hops = {}
  local first = #job.trail >= MAX_HOPS and #job.trail - MAX_HOPS + 3 or 1
  if first > 1 then
    hops[1] = job.trail[1]
  end
  for index = first, #job.trail do
    hops[#hops + 1] = job.trail[index]
  end
  hops[#hops + 1] = {sender, address, process, now}
  return cmsgpack.pack(hops)
end

local function map_of(...)
  return string.char(0x80 + select('#', ...) / 2) .. table.concat({...})
end

-- cmsgpack exists while a function runs, not while its library is loaded.
local function pack(value)
  return cmsgpack.pack(value)
end

-- The content of the event for a socket or group, or for an ordinary channel; nil for an event that it does not get.
local function content_for(job, reply, event)
  local raw = job.style == 'message' and event.kind == 'result'
  if reply[1] == 'queue' then
    if not ENDS[event.kind] then
      return nil
    end
    return raw and event.packed or map_of(pack('job'), pack(job.id), pack('seq'), pack(job.seq), pack('kind'),
      pack(event.kind), pack('data'), event.packed)
  elseif job.style == 'message' and not ENDS[event.kind] then
    return nil
  end
  return raw and event.packed or map_of(pack('text'), pack(string.format(
    '{"job":"%s","seq":%d,"kind":"%s","data":', job.id, job.seq, event.kind) .. event.json .. '}'))
end

-- Sends an event to every address of the job. Ends may use a channel's room a second time, so that a burst of progress
-- never costs an outcome. Returns how many addresses had no room.
local function tell(job, event)
  local refused = 0
  for _, reply in ipairs(job.replies) do
    local content = content_for(job, reply, event)
    if content then
      local body = content .. trail_to(job, reply[2], event.sender, event.process)
      local more = ENDS[event.kind] and 1 or 0
      if reply[1] == 'group' then
        send_to_group(reply[2], body, job.message_ms, job.process_capacity * (1 + more))
      elseif not send_to_channel(reply[2], '', body, job.message_ms, reply[3] + reply[3] % ATTEMPTS_UNIT * more, 0) then
        count('dropped:no_room')
        refused = refused + 1
      end
    end
  end
  return refused
end

-- Appends an event to the job's and sends it.
local function emit(job, event)
  job.seq = redis.call('HINCRBY', job.key, 'seq', 1)
  redis.call('XADD', job.key .. ':events', 'MAXLEN', job.keep, job.seq .. '-1', 'kind', event.kind, 'data', event.json,
    'at', string.format('%d', now))
  return tell(job, event)
end

-- Ends the job with an event, the only one of its kind. Returns how many addresses had no room for it.
local function finish(job, event)
  redis.call('HSET', job.key, 'state', event.kind)
  redis.call('DEL', job.key .. ':parts')
  local refused = emit(job, event)
  keep_for(job, job.ended_seconds)
  return refused
end
