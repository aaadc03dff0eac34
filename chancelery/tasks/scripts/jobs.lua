-- What the scripts of jobs share: a job's record, its events, and their way to whoever asked. Comes after the layer's
-- shared files, whose functions send.
--
-- Keys, all under the prefix of jobs:
--   job:<id>           hash    state, seq (of the last durable event), done (tasks that ended well), left (final tasks
--                              that have not ended), renew_at (ms), terms and message (chancelery/tasks/record.py), hops
--                              (the beginning of an envelope's trail, for one hop more), finals (msgpack), chunk:<task>
--                              (attempt and number of the last chunk), sockets (msgpack, see bind), missed (seq of the
--                              last event before the first that no socket was told), lapses (ms: when it is cancelled,
--                              unless a socket comes back), overall and part:<task> (see overall.lua), more (msgpack:
--                              addresses of callers that were attached), gate (see waiting.lua)
--   job:<id>:members   hash    task -> "<number> <rank> <1 for a final task> <parent> <index> <share> <name>", of which
--                              the last four are as canvas.Member has them
--   job:<id>:events    stream  <seq>-1 -> kind, data (JSON), at (ms), process (host:pid); of a
--                              result that is kept apart (see apart.lua), apart (what is beside data, as JSON)
--   job:<id>:parts     hash    final task -> its result as JSON, and "=" .. task -> as msgpack, until all are in
--   job:<id>:inputs    hash    number -> what the job was given, as JSON; the rest see give.lua and take.lua
--   job:<id>:bell      list    a token for each input: waiting tasks block on it
--   mine:<owner>       zset    job -> when it was recorded; of a user, "user:<pk>", or of a socket, "socket:<name>"
--   inbox:<owner>      zset    job -> when it first said something while no socket of its owner was open
--   leaving:<socket>   set     the jobs that do not go on for ever when their sockets have gone
--   died:<socket>      string  when it was found dead, in ms
--
-- What a task has come to is its rank, which only rises: a task that is handed out again says nothing twice. Attempt a
-- started has the rank 4a + 1, is to be repeated 4a + 2; then come FAILED and DONE.

local TERMS_VERSION = 1
local FAILED, DONE = 1000000000000, 1000000000001
local TRY_AGAIN = 1013 -- the code of a close; RFC 6455's registry
local MOST_SOCKETS = 8 -- of one job
local MOST_LISTED = 100 -- of one owner
local ENDS = {result = true, error = true, cancelled = true}

local function terms_of(packed)
  local terms = cmsgpack.unpack(packed)
  if terms[1] > TERMS_VERSION then
    error('the record of a job has version ' .. terms[1] .. ', this process reads up to ' .. TERMS_VERSION)
  end
  return terms[2]
end

-- Makes a job of its terms, and the layer's functions ready to send.
local function job_with(terms, key, state, seq, done, left, hops)
  local job = terms
  job.key, job.state, job.ended, job.hops, job.changes = key, state, ENDS[state], hops, {}
  job.seq, job.done, job.left = tonumber(seq), tonumber(done), tonumber(left)
  job.id = string.match(key, '([^:]*)$')
  job.root = string.sub(key, 1, #key - #job.id - 4)
  begin(job.layer, '')
  return job
end

-- Returns the job of a record, or nil when there is none.
local function open_job(key)
  local found = redis.call('HMGET', key, 'state', 'seq', 'done', 'left', 'hops', 'terms', 'renew_at', 'sockets', 'more')
  if not found[1] then
    return nil
  end
  local job = job_with(terms_of(found[6]), key, unpack(found, 1, 5))
  job.renew_at = tonumber(found[7])
  job.sockets = found[8] and cmsgpack.unpack(found[8]) or nil
  job.more = found[9] and cmsgpack.unpack(found[9]) or nil
  return job
end

-- Sets a field of the record; all of them are written at once, by close().
local function set(job, field, value)
  job.changes[#job.changes + 1] = field
  job.changes[#job.changes + 1] = value
end

-- What every script ends with that has opened a job, and has changed or told something.
local function close(job)
  if #job.changes > 0 then
    redis.call('HSET', job.key, unpack(job.changes))
    job.changes = {}
  end
  commit()
end

-- Keeps a job that goes on: from time to time, and never for less than before.
local function renew(job)
  if now >= job.renew_at then
    set(job, 'renew_at', string.format('%d', now + job.open_seconds * 100))
    keep_record(job.key, job.open_seconds, 'GT')
  end
end

local function text(value)
  return #value < 256 and str8(value) or cmsgpack.pack(value)
end

-- An envelope's trail: the job's, and one hop more.
local function trail_to(job, address, sender, process)
  return job.hops .. '\148' .. text(sender) .. text(address) .. text(process) .. '\207\0\0' .. struct.pack('>I6', now)
end

local function map_of(...)
  return string.char(0x80 + select('#', ...) / 2) .. table.concat({...})
end

-- cmsgpack exists while a function runs, not while its library is loaded.
local function pack(value)
  return cmsgpack.pack(value)
end

local function packed_all(values)
  local packed = {}
  for index, value in ipairs(values or {}) do
    packed[index] = pack(value)
  end
  return unpack(packed)
end

-- The content of an event for a socket. Whoever escalated is given a claim with the first one, and nobody else. stream:
-- of a demultiplexer, on which the socket is to hear it; or nil. For a client that lags behind, progress (of a task, with
-- the same number) takes the place of what waits; and rather than lose the end of a job its socket is closed.
local function frame_of(job, seq, event, claim, stream)
  local ending = claim and claim ~= '' and ',"claim":"' .. claim .. '"}' or '}'
  local frame = '{"job":"' .. job.id .. '","seq":' .. seq .. ',"kind":"' .. event.kind .. '","data":' .. event.json ..
    (event.apart or '') .. ending
  if stream and stream ~= '' then
    frame = '{"stream":' .. cjson.encode(stream) .. ',"payload":' .. frame .. '}'
  end
  if event.kind == 'progress' then
    return '\130\164text' .. text(frame) .. '\163key' .. text(event.task .. ':' .. seq)
  elseif ENDS[event.kind] then
    return '\130\164text' .. text(frame) .. '\164keep\195'
  end
  return '\129\164text' .. text(frame)
end

-- The content of the event for a socket or group, or for an ordinary channel; nil for an event that it does not get.
local function content_for(job, reply, event)
  local raw = job.style == 'message' and event.kind == 'result'
  if reply[1] == 'queue' then
    if not ENDS[event.kind] then
      return nil
    end
    return raw and event.packed or map_of(pack('job'), pack(job.id), pack('seq'), pack(job.seq), pack('kind'),
      pack(event.kind), pack('data'), event.packed, packed_all(event.more))
  elseif job.style == 'message' and not ENDS[event.kind] then
    return nil
  end
  return raw and event.packed or frame_of(job, job.seq, event, reply[5] and event.claim, reply[4])
end

-- Closes a socket that could not be told the end of a job, so that it asks for it when it is back. It has room of its
-- own for that; a process whose mail is as long as that does not read it, and will be ended.
local function close_lagging(job, name, terms, event)
  local body = map_of(pack('close'), pack(TRY_AGAIN)) .. trail_to(job, name, event.sender, event.process)
  send_to_channel(name, '', body, job.message_ms, terms + terms % ATTEMPTS_UNIT * 2, 0)
end

-- Sends an event to one address. Ends may use a channel's room a second time, so that a burst of progress never costs an
-- outcome. Returns whether there was room.
local function send_event(job, kind, name, terms, content, event)
  local body = content .. trail_to(job, name, event.sender, event.process)
  local more = ENDS[event.kind] and 1 or 0
  if kind == 'group' then
    send_to_group(name, body, job.message_ms, job.process_capacity * (1 + more))
  elseif not send_to_channel(name, '', body, job.message_ms, terms + terms % ATTEMPTS_UNIT * more, 0) then
    count('dropped:no_room')
    if more == 1 and kind == 'socket' then
      close_lagging(job, name, terms, event)
    end
    return false
  end
  return true
end

-- Whether the layer knows when a channel has gone: a socket's, of a process that leaves wills. is_socket: whether it is
-- one; there may be no will of it any more.
local function is_watched(name, is_socket)
  local process = process_of(name)
  if redis.call('HEXISTS', prefix .. 'wills:' .. process, name) == 1 then
    return true
  end
  return is_socket and (redis.call('ZSCORE', prefix .. 'processes', process)
    or redis.call('EXISTS', prefix .. 'reaped:' .. process) == 1)
end

-- Whether a bound socket has gone. One that is not watched is never known to have.
local function has_gone(socket)
  return socket[3] == 1 and redis.call('HEXISTS', prefix .. 'wills:' .. process_of(socket[1]), socket[1]) == 0
end

local function keep_sockets(job, sockets)
  job.sockets = sockets
  set(job, 'sockets', cmsgpack.pack(sockets))
end

-- Returns the sockets that the job tells, without one of them and those that have gone.
local function other_sockets(job, name)
  local staying = {}
  for _, socket in ipairs(job.sockets or {}) do
    if socket[1] ~= name and not has_gone(socket) then
      staying[#staying + 1] = socket
    end
  end
  return staying
end

local function unbind(job, name)
  keep_sockets(job, other_sockets(job, name))
end

-- Has the job tell a socket, by a channel with such terms, from now on. is_socket: see is_watched. always: 1 if it gets
-- events whatever the job's style is. stream: see frame_of.
local function bind(job, name, terms, is_socket, always, stream)
  local sockets = other_sockets(job, name)
  if #sockets >= MOST_SOCKETS then
    table.remove(sockets, 1)
  end
  sockets[#sockets + 1] = {name, terms, is_watched(name, is_socket) and 1 or 0, always,
    stream ~= '' and stream or nil}
  keep_sockets(job, sockets)
  if (job.leave_ms or -1) >= 0 then
    redis.call('SADD', job.root .. 'leaving:' .. name, job.id)
    redis.call('EXPIRE', job.root .. 'leaving:' .. name, job.open_seconds)
  end
end

-- Puts the job on a list of its owner's, of which the oldest make room, and which is kept for so long at least.
local function list_for(job, kind, owner, seconds)
  local key = job.root .. kind .. owner
  redis.call('ZADD', key, 'NX', now, job.id)
  local length = redis.call('ZCARD', key)
  if length > MOST_LISTED then
    redis.call('ZREMRANGEBYRANK', key, 0, -MOST_LISTED - 1)
  end
  if length == 1 then
    redis.call('EXPIRE', key, seconds)
  else
    redis.call('EXPIRE', key, seconds, 'GT')
  end
end

-- Tells the sockets that are bound to the job. What none of them was told waits for the next of the same user. Returns
-- how many had no room.
local function tell_sockets(job, event)
  local refused, gone, told = 0, false, false
  for _, socket in ipairs(job.sockets) do
    if has_gone(socket) then
      gone = true
    else
      local content = socket[4] == 1 and frame_of(job, job.seq, event, nil, socket[5])
        or content_for(job, {'socket', '', 0, socket[5], true}, event)
      local taken = not content or send_event(job, 'socket', socket[1], socket[2], content, event)
      told = told or taken
      refused = refused + (taken and 0 or 1)
    end
  end
  if gone and told then -- the last ones are remembered: see unheard.lua
    unbind(job, '')
  end
  if not told and event.kind ~= 'progress' and job.owner ~= '' then
    if redis.call('HSETNX', job.key, 'missed', job.seq - 1) == 1 then
      list_for(job, 'inbox:', job.owner, job.open_seconds)
    end
  end
  return refused
end

-- Whether this address is the asking socket's, in whose place the bound sockets are told.
local function is_bound(job, reply)
  return job.sockets and reply[1] == 'socket' and reply[2] == job.asker
end

-- Sends an event to every address of the job. Returns how many had no room.
local function tell(job, event)
  local refused = job.sockets and tell_sockets(job, event) or 0
  for _, reply in ipairs(job.replies) do
    local content = not is_bound(job, reply) and content_for(job, reply, event)
    if content and not send_event(job, reply[1], reply[2], reply[3], content, event) then
      refused = refused + 1
    end
  end
  for _, reply in ipairs(job.more or {}) do
    local content = content_for(job, reply, event)
    if content and not send_event(job, reply[1], reply[2], reply[3], content, event) then
      refused = refused + 1
    end
  end
  return refused
end

-- Appends an event to the job's and sends it.
local function emit(job, event)
  job.seq = job.seq + 1
  set(job, 'seq', job.seq)
  redis.call('XADD', job.key .. ':events', 'MAXLEN', job.keep, job.seq .. '-1', 'kind', event.kind, 'data', event.json,
    'at', string.format('%d', now), 'process', event.process, unpack(event.apart and {'apart', event.apart} or {}))
  return tell(job, event)
end

-- Says that the job has started, if nobody has: a task that takes no time says so with what it says next.
local function say_started(job, task, name, process)
  if job.state == 'accepted' then
    job.state = 'started'
    set(job, 'state', job.state)
    emit(job, {kind = 'started', json = cjson.encode({task = task, name = name}), packed = '', sender = name,
      process = process})
  end
end

-- Ends the job with an event, the only one of its kind. Returns how many addresses had no room for it.
local function finish(job, event)
  set(job, 'state', event.kind)
  if job.grouped then
    redis.call('DEL', job.key .. ':parts')
  end
  redis.call('ZREM', job.root .. 'open', job.id)
  local refused = emit(job, event)
  leave(job, event.kind)
  keep_record(job.key, job.ended_seconds)
  return refused
end
