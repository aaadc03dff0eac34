-- What the layer's scripts share: the clock, envelopes, and the ways onto queues, lanes, mail lists and groups.
--
-- Keys, all under the layer's prefix:
--   ready:<channel>            list    envelopes that wait to be fetched
--   lane:<lane>                list    a marker for the message that is out, then envelopes that wait behind it
--   lease:<lease>              hash    id -> envelope, of what was fetched and not finished
--   leases                     zset    lease -> when it runs out
--   box:<process>              list    mail: envelopes and control messages
--   position:<process>         string  how many entries of the box were dropped, ever
--   control:<process>          string  the number of the last control message
--   group:<group>              zset    member -> when its membership expires (the truth)
--   group-processes:<group>    hash    process -> number of its members
--   group-direct:<group>       set     members that are not process-local
--   process-groups:<process>   set     groups in which the process has members
--   bell:<channel or process>  list    tokens on which readers block; never messages
--   channels                   set     ordinary channels that were ever used
--   counters                   hash    what was sent, refused and dropped
--
-- An envelope is msgpack [version, deadline, channel, lane, content, trail] with a head of fixed form, see
-- chancelery/layers/codec.py: byte 2 is the version, bytes 4 to 11 the deadline, byte 13 the channel's length.

local VERSION = 1
local BACKSTOP_MS = 86400000
local BELL_MS = 30000
local prefix, now
local counts = {}

local function begin(layer_prefix, clock)
  prefix = layer_prefix
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

local function store_counts()
  for field, number in pairs(counts) do
    redis.call('HINCRBY', prefix .. 'counters', field, number)
  end
  counts = {}
end

local function str8(text)
  return string.char(0xd9, #text) .. text
end

local function seal(channel, lane, body, ttl)
  return string.char(0x96, VERSION, 0xcf) .. struct.pack('>I8', now + ttl) .. str8(channel) .. str8(lane) .. body
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
  return string.match(channel, '^[^!]*!')
end

local function ring(name, most)
  local bell = prefix .. 'bell:' .. name
  if redis.call('LLEN', bell) < most then
    redis.call('RPUSH', bell, '')
    redis.call('PEXPIRE', bell, BELL_MS)
  end
end

-- Where each waiting envelope goes: to the end, or with 'LPUSH' to the front.
local function make_ready(channel, envelope, push)
  local ready = prefix .. 'ready:' .. channel
  local length = redis.call(push or 'RPUSH', ready, envelope)
  if string.find(channel, '?', 1, true) then
    redis.call('PEXPIRE', ready, math.max(deadline_of(envelope) - now, 0) + BELL_MS)
  elseif length == 1 then
    redis.call('SADD', prefix .. 'channels', channel)
  end
  ring(channel, math.min(length, 16))
end

local function release_lane(lane)
  local key = prefix .. 'lane:' .. lane
  redis.call('LPOP', key)
  local following = redis.call('LINDEX', key, 0)
  if following then
    redis.call('LSET', key, 0, '')
    redis.call('PEXPIRE', key, BACKSTOP_MS)
    make_ready((address_of(following)), following)
  end
end

local function drop(envelope, reason)
  count('dropped:' .. reason)
  local _, lane = address_of(envelope)
  if lane ~= '' then
    release_lane(lane)
  end
end

local function has_room(channel, capacity)
  local ready = prefix .. 'ready:' .. channel
  if redis.call('LLEN', ready) < capacity then
    return true
  end
  local head = redis.call('LINDEX', ready, 0)
  while head and deadline_of(head) <= now do
    redis.call('LPOP', ready)
    drop(head, 'expired')
    head = redis.call('LINDEX', ready, 0)
  end
  return redis.call('LLEN', ready) < capacity
end

local function send_to_queue(channel, lane, body, ttl, capacity, lane_capacity)
  local envelope = seal(channel, lane, body, ttl)
  if lane ~= '' then
    local key = prefix .. 'lane:' .. lane
    local length = redis.call('RPUSHX', key, envelope)
    if length > lane_capacity + 1 then
      redis.call('RPOP', key)
      return false
    elseif length > 0 then
      return true
    end
  end
  if not has_room(channel, capacity) then
    return false
  end
  if lane ~= '' then
    redis.call('RPUSH', prefix .. 'lane:' .. lane, '')
    redis.call('PEXPIRE', prefix .. 'lane:' .. lane, BACKSTOP_MS)
  end
  make_ready(channel, envelope)
  return true
end

local function push_mail(process, entry)
  local box = prefix .. 'box:' .. process
  if redis.call('RPUSH', box, entry) == 1 then
    redis.call('PEXPIRE', box, BACKSTOP_MS)
  end
  ring(process, 1)
end

local function send_to_process(process, envelope, capacity)
  if redis.call('LLEN', prefix .. 'box:' .. process) >= capacity then
    return false
  end
  push_mail(process, envelope)
  return true
end

-- Sends to a channel of any kind. Returns false when it is full; nothing was stored then.
local function send_to_channel(channel, lane, body, ttl, capacity, lane_capacity)
  local process = process_of(channel)
  local taken
  if process then
    taken = send_to_process(process, seal(channel, '', body, ttl), capacity)
  else
    taken = send_to_queue(channel, lane, body, ttl, capacity, lane_capacity)
  end
  if taken then
    count('messages_count')
  else
    count('channel_full_count')
  end
  if not string.find(channel, '[?!]') then
    count((taken and 'sent:' or 'full:') .. channel)
  end
  return taken
end

-- Tells a process of a change of its memberships; deadline 0 ends one.
local function push_control(process, deadline, group, channel)
  local number = redis.call('INCR', prefix .. 'control:' .. process)
  redis.call('PEXPIRE', prefix .. 'control:' .. process, BACKSTOP_MS)
  push_mail(process, cmsgpack.pack({VERSION, number, deadline, group, channel}))
end

local function remove_member(group, channel)
  if redis.call('ZREM', prefix .. 'group:' .. group, channel) == 0 then
    return false
  end
  local process = process_of(channel)
  if not process then
    redis.call('SREM', prefix .. 'group-direct:' .. group, channel)
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
local function send_to_group(group, body, ttl, process_capacity, capacity)
  drop_expired_members(group)
  count('messages_count')
  local envelope = seal(group, '', body, ttl)
  for _, process in ipairs(redis.call('HKEYS', prefix .. 'group-processes:' .. group)) do
    if not send_to_process(process, envelope, process_capacity) then
      count('dropped:group_full')
    end
  end
  for _, channel in ipairs(redis.call('SMEMBERS', prefix .. 'group-direct:' .. group)) do
    if not send_to_channel(channel, '', body, ttl, capacity, 0) then
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
    make_ready((address_of(envelope)), envelope, 'LPUSH')
  end
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
