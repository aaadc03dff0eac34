-- What the layer's scripts share: the clock, envelopes, and the ways onto queues, lanes, mail lists and groups.
--
-- Keys, all under the layer's prefix:
--   ready:<channel>            list    envelopes that wait to be fetched
--   lanes                      hash    the lanes that have a message out (waiting, or in a lease)
--   lane:<lane>                list    envelopes that wait behind the one that is out
--   lease:<lease>              hash    id -> envelope, of what was fetched and not finished
--   leases                     zset    lease -> when it runs out
--   box:<process>              list    mail: envelopes and control messages
--   position:<process>         string  how many entries of the box were dropped, ever
--   control:<process>          string  the number of the last control message
--   group:<group>              zset    member -> when its membership expires (the truth)
--   group-processes:<group>    hash    process -> number of its members
--   group-direct:<group>       hash    member that is not process-local -> its capacity
--   process-capacities         hash    process -> how much mail it may have, where that is not the usual
--   process-groups:<process>   set     groups in which the process has members
--   processes                  zset    process that left a will -> when it counts as dead, unless it reads its mail
--   wills:<process>            hash    lane -> channel and body of what is sent when the process dies
--   reaped:<process>           string  there from its end on until it, back from the dead, has learned of it
--   bell:<channel or process>  list    tokens on which readers block; never messages
--   channels                   set     ordinary channels that were ever used
--   counters                   hash    what was sent, refused and dropped
--
-- An envelope is msgpack [version, deadline, channel, lane, content, trail] with a head of fixed form, see
-- chancelery/layers/codec.py: byte 2 is the version, bytes 4 to 11 the deadline, byte 13 the channel's length.
--
-- A call of Redis costs more here than anything else (about 2 µs), so what one script puts on queues and mail lists is
-- gathered and written by commit(), which every script ends with; what it counts, too.

local VERSION = 1
local BACKSTOP_MS = 86400000
local BELL_MS = 30000
local PUSH_AT_ONCE = 4000
local MOST_TOKENS = 16
local prefix, lanes_key, now
local counts, heads, queues, boxes

-- What every script begins with. These variables outlive a call: what one that failed left behind is dropped here.
local function begin(layer_prefix, clock)
  counts, heads, queues, boxes = {}, {}, {}, {}
  prefix = layer_prefix
  lanes_key = prefix .. 'lanes'
  if clock == '' then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  else
    now = tonumber(clock)
  end
end

local function count(field, number)
  counts[field] = (counts[field] or 0) + (number or 1)
end

local function str8(text)
  return string.char(0xd9, #text) .. text
end

-- A list that this script writes to: its key, what it shall get, its length before (read when it is needed).
local function list_of(lists, kind, name)
  local list = lists[name]
  if not list then
    list = {name = name, key = prefix .. kind .. name, str8 = str8(name), sent = 0, full = 0}
    lists[name] = list
  end
  return list
end

local function has_length_below(list, capacity)
  list.length = list.length or redis.call('LLEN', list.key)
  return list.length + #list < capacity
end

-- Everything of an envelope before the channel's name.
local function head_of(ttl)
  local head = heads[ttl]
  if not head then
    head = string.char(0x96, VERSION, 0xcf) .. struct.pack('>I8', now + ttl)
    heads[ttl] = head
  end
  return head
end

local function seal(channel, body, ttl)
  return head_of(ttl) .. str8(channel) .. '\217\0' .. body
end

local function deadline_of(envelope)
  return (struct.unpack('>I8', envelope, 4))
end

local function address_of(envelope)
  local length = string.byte(envelope, 13)
  local lane_length = string.byte(envelope, 15 + length)
  return string.sub(envelope, 14, 13 + length), string.sub(envelope, 16 + length, 15 + length + lane_length)
end

local function process_of(channel)
  local mark = string.find(channel, '!', 1, true)
  return mark and string.sub(channel, 1, mark)
end

local function ring(name, tokens)
  local bell = prefix .. 'bell:' .. name
  local missing = tokens - redis.call('LLEN', bell)
  if missing > 0 then
    local push = {}
    for index = 1, missing do
      push[index] = ''
    end
    redis.call('RPUSH', bell, unpack(push))
    redis.call('PEXPIRE', bell, BELL_MS)
  end
end

local function make_ready(channel, envelope)
  local queue = list_of(queues, 'ready:', channel)
  queue[#queue + 1] = envelope
end

local function release_lane(lane)
  local key = prefix .. 'lane:' .. lane
  local following = redis.call('LPOP', key)
  while following and deadline_of(following) <= now do
    count('dropped:expired')
    following = redis.call('LPOP', key)
  end
  if following then
    make_ready((address_of(following)), following)
  else
    redis.call('HDEL', lanes_key, lane)
  end
end

local function drop(envelope, reason)
  count('dropped:' .. reason)
  local _, lane = address_of(envelope)
  if lane ~= '' then
    release_lane(lane)
  end
end

-- Appends what was gathered and returns the list's length.
local function write_out(list)
  local length
  for first = 1, #list, PUSH_AT_ONCE do
    length = redis.call('RPUSH', list.key, unpack(list, first, math.min(first + PUSH_AT_ONCE - 1, #list)))
  end
  return length
end

local function write_queue(queue)
  local length = write_out(queue)
  if string.find(queue.name, '?', 1, true) then
    redis.call('PEXPIRE', queue.key, math.max(deadline_of(queue[#queue]) - now, 0) + BELL_MS)
  elseif length == #queue then
    redis.call('SADD', prefix .. 'channels', queue.name)
  end
  ring(queue.name, math.min(length, MOST_TOKENS))
end

-- Writes what was gathered.
local function commit()
  local writing_queues, writing_boxes = queues, boxes
  queues, boxes = {}, {}
  for name, queue in pairs(writing_queues) do
    if #queue > 0 then
      write_queue(queue)
    end
    if not string.find(name, '?', 1, true) and queue.sent + queue.full > 0 then
      count('sent:' .. name, queue.sent)
      count('full:' .. name, queue.full)
    end
  end
  for process, box in pairs(writing_boxes) do
    if #box > 0 then
      write_out(box)
      redis.call('PEXPIRE', box.key, BACKSTOP_MS)
      ring(process, 1)
    end
  end
  for field, number in pairs(counts) do
    if number > 0 then
      redis.call('HINCRBY', prefix .. 'counters', field, number)
    end
  end
  counts = {}
end

local function drop_expired_heads(queue)
  local head = redis.call('LINDEX', queue.key, 0)
  while head and deadline_of(head) <= now do
    redis.call('LPOP', queue.key)
    queue.length = queue.length - 1
    drop(head, 'expired')
    head = redis.call('LINDEX', queue.key, 0)
  end
end

local function has_room(queue, capacity)
  if not has_length_below(queue, capacity) then
    drop_expired_heads(queue)
    return has_length_below(queue, capacity)
  end
  return true
end

local function send_to_queue(queue, lane, body, ttl, capacity, lane_capacity)
  local envelope = head_of(ttl) .. queue.str8 .. str8(lane) .. body
  if lane ~= '' and redis.call('HSETNX', lanes_key, lane, '') == 0 then
    local key = prefix .. 'lane:' .. lane
    if redis.call('RPUSH', key, envelope) > lane_capacity then
      redis.call('RPOP', key)
      return false
    end
    return true
  end
  if not has_room(queue, capacity) then
    if lane ~= '' then
      redis.call('HDEL', lanes_key, lane)
    end
    return false
  end
  queue[#queue + 1] = envelope
  return true
end

-- What was not read in time takes no room; the reader's position counts from the list's new beginning.
local function drop_expired_mail(box)
  local head = redis.call('LINDEX', box.key, 0)
  while head and string.byte(head, 1) == 0x96 and deadline_of(head) <= now do
    redis.call('LPOP', box.key)
    redis.call('INCR', prefix .. 'position:' .. box.name)
    redis.call('PEXPIRE', prefix .. 'position:' .. box.name, BACKSTOP_MS)
    box.length = box.length - 1
    count('dropped:expired')
    head = redis.call('LINDEX', box.key, 0)
  end
end

local function send_to_process(process, envelope, capacity)
  local box = list_of(boxes, 'box:', process)
  if not has_length_below(box, capacity) then
    drop_expired_mail(box)
    if not has_length_below(box, capacity) then
      return false
    end
  end
  box[#box + 1] = envelope
  return true
end

-- Sends to a channel of any kind. Returns false when it is full; nothing was stored then.
local function send_to_channel(channel, lane, body, ttl, capacity, lane_capacity)
  local process = process_of(channel)
  local taken
  if process then
    taken = send_to_process(process, seal(channel, body, ttl), capacity)
  else
    local queue = list_of(queues, 'ready:', channel)
    taken = send_to_queue(queue, lane, body, ttl, capacity, lane_capacity)
    queue.sent = queue.sent + (taken and 1 or 0)
    queue.full = queue.full + (taken and 0 or 1)
  end
  count(taken and 'messages_count' or 'channel_full_count')
  return taken
end

-- Tells a process of a change of its memberships; deadline 0 ends one.
local function push_control(process, deadline, group, channel)
  local number = redis.call('INCR', prefix .. 'control:' .. process)
  redis.call('PEXPIRE', prefix .. 'control:' .. process, BACKSTOP_MS)
  send_to_process(process, cmsgpack.pack({VERSION, number, deadline, group, channel}), math.huge)
end

local function remove_member(group, channel)
  if redis.call('ZREM', prefix .. 'group:' .. group, channel) == 0 then
    return false
  end
  local process = process_of(channel)
  if not process then
    redis.call('HDEL', prefix .. 'group-direct:' .. group, channel)
  elseif redis.call('HINCRBY', prefix .. 'group-processes:' .. group, process, -1) <= 0 then
    redis.call('HDEL', prefix .. 'group-processes:' .. group, process)
    redis.call('SREM', prefix .. 'process-groups:' .. process, group)
  end
  return true
end

local function drop_expired_members(group)
  for _, channel in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'group:' .. group, '-inf', now)) do
    remove_member(group, channel)
  end
end

-- Sends to every member: once per process that has some, and once per other channel.
local function send_to_group(group, body, ttl, process_capacity)
  drop_expired_members(group)
  count('messages_count')
  local envelope = seal(group, body, ttl)
  local processes = redis.call('HKEYS', prefix .. 'group-processes:' .. group)
  local special = #processes > 0 and redis.call('EXISTS', prefix .. 'process-capacities') == 1
  for _, process in ipairs(processes) do
    local capacity = special and redis.call('HGET', prefix .. 'process-capacities', process)
    if not send_to_process(process, envelope, tonumber(capacity or process_capacity)) then
      count('dropped:group_full')
    end
  end
  local direct = redis.call('HGETALL', prefix .. 'group-direct:' .. group)
  for index = 1, #direct, 2 do
    if not send_to_channel(direct[index], '', body, ttl, tonumber(direct[index + 1]), 0) then
      count('dropped:group_full')
    end
  end
end

-- Puts the lease's entries with these ids (or, with *keep*, all but these) back to the front of their channels, in order.
local function give_back(lease, ids, keep)
  local key = prefix .. 'lease:' .. lease
  local listed = {}
  for _, id in ipairs(ids) do
    listed[id] = true
  end
  local returning = {}
  for _, id in ipairs(redis.call('HKEYS', key)) do
    if (listed[id] or false) ~= keep then
      returning[#returning + 1] = id
    end
  end
  table.sort(returning, function(a, b) return tonumber(a) > tonumber(b) end)
  for _, id in ipairs(returning) do
    local envelope = redis.call('HGET', key, id)
    redis.call('HDEL', key, id)
    local channel = address_of(envelope)
    redis.call('LPUSH', prefix .. 'ready:' .. channel, envelope)
    ring(channel, 1)
  end
end

local function leave_will(lane, channel, body, lease_ms)
  local process = process_of(lane)
  redis.call('HSET', prefix .. 'wills:' .. process, lane, str8(channel) .. body)
  redis.call('ZADD', prefix .. 'processes', 'NX', now + lease_ms, process)
end

-- Ends a process that died or stopped: its memberships and its mail are gone.
local function end_process(process)
  for _, group in ipairs(redis.call('SMEMBERS', prefix .. 'process-groups:' .. process)) do
    for _, channel in ipairs(redis.call('ZRANGE', prefix .. 'group:' .. group, 0, -1)) do
      if process_of(channel) == process then
        remove_member(group, channel)
      end
    end
  end
  count('dropped:process_died', redis.call('LLEN', prefix .. 'box:' .. process))
  for _, kind in ipairs({'box:', 'position:', 'control:', 'process-groups:', 'wills:', 'bell:'}) do
    redis.call('DEL', prefix .. kind .. process)
  end
  redis.call('HDEL', prefix .. 'process-capacities', process)
  redis.call('ZREM', prefix .. 'processes', process)
end

-- Ends a lease: what it still holds is dropped, with a record. Returns those envelopes.
local function end_lease(lease)
  local key = prefix .. 'lease:' .. lease
  local lost = redis.call('HVALS', key)
  redis.call('DEL', key)
  redis.call('ZREM', prefix .. 'leases', lease)
  for _, envelope in ipairs(lost) do
    drop(envelope, 'worker_died')
  end
  return lost
end
