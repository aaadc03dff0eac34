-- What the layer's scripts share: the clock, envelopes, and the ways onto queues, lanes, mail lists and groups.
--
-- Keys, all under the layer's prefix:
--   ready:<channel>            list    envelopes that wait to be fetched
--   lanes                      hash    the lanes that have a message out (waiting, or in a lease)
--   lane:<lane>                list    envelopes that wait behind the one that is out
--   lease:<lease>              hash    id -> envelope, of what was fetched and not finished; "begun" -> the last id that
--                                      counts as begun, and with it all before it; "recovered" -> what was to be handed
--                                      out with lower ids has been given up by the worker
--   leases                     zset    lease -> when it runs out
--   ended:<lease>              string  there once a reaper has ended it
--   box:<process>              list    mail: envelopes and control messages
--   position:<process>         string  how many entries of the box were dropped, ever; ":"; how many were read, ever
--   control:<process>          string  the number of the last control message
--   group:<group>              zset    member -> when its membership expires (the truth)
--   group-processes:<group>    hash    process -> number of its members
--   group-direct:<group>       hash    member that is not process-local -> its capacity
--   process-capacities         hash    process -> how much mail it may have, where that is not the usual
--   process-groups:<process>   set     groups in which the process has members
--   processes                  zset    process that left a will -> when it counts as dead, unless it reads its mail
--   wills:<process>            hash    lane -> attempts (a byte), channel and body of what is sent when the process dies
--   reaped:<process>           string  there for a day from its end on; empty until it, back from the dead, has learned
--   bell:<channel or process>  list    tokens on which readers block; never messages
--   singles                    zset    single-reader channel (with a "?") -> when to look there for what has expired
--   counters                   hash    sent:<channel> and full:<channel> of ordinary channels, messages_count and
--                                      channel_full_count of all others, dropped:<reason>
--   drops                      list    reason, a zero byte and the envelope, of a few messages that were dropped: for the
--                                      log of whoever asks next
--   dead                       stream  dead letters: reason, at (milliseconds), envelope
--
-- An envelope is msgpack [version, term, channel, lane, content, trail] with a head of fixed form, see
-- chancelery/layers/codec.py: byte 2 is the version; byte 4 how often the message may be begun (0: at most once); byte 5
-- how often it was begun and lost; bytes 6 to 11 the deadline; byte 13 the channel's length.
--
-- A call of Redis costs more here than anything else (about 2 µs), so what one script puts on queues and mail lists is
-- gathered and written by commit(), which every script ends with; what it counts, too.

local VERSION = 1
local BACKSTOP_MS = 86400000
local SINGLE_BELL_MS = 30000
local PUSH_AT_ONCE = 4000
local MOST_TOKENS = 16
local MOST_RECORDS = 64
local LONGEST_RECORD = 65536
local USUAL_DEAD_LETTERS = 1000
local ATTEMPTS_UNIT = 4294967296
-- Above 64 bytes, so that Redis makes the hash of lanes a table at once: as a listpack, which it would be up to 512 lanes,
-- it is searched from end to end, at up to 40 µs a message.
local OUT = ('-'):rep(65)
local prefix, lanes_key, now, most_dead
local counts, heads, queues, boxes, records, lanes_out, lanes_begun
local STR8 = {}
for length = 0, 255 do
  STR8[length] = ('').char(0xd9, length)
end

-- What every script begins with. These variables outlive a call: what one that failed left behind is dropped here.
local function begin(layer_prefix, clock, dead_letters)
  counts, heads, queues, boxes, records, lanes_out, lanes_begun = {}, {}, {}, {}, {}, {}, {}
  prefix = layer_prefix
  most_dead = tonumber(dead_letters or USUAL_DEAD_LETTERS)
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
  return STR8[#text] .. text
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
local function head_of(ttl, attempts)
  local head = heads[attempts]
  if not head then
    head = string.char(0x96, VERSION, 0xcf, attempts, 0) .. struct.pack('>I6', now + ttl)
    heads[attempts] = head
  end
  return head
end

local function seal(channel, body, ttl)
  return head_of(ttl, 0) .. str8(channel) .. '\217\0' .. body
end

local function deadline_of(envelope)
  local a, b, c, d, e, f = string.byte(envelope, 6, 11)
  return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end

local function attempts_of(envelope)
  return string.byte(envelope, 4)
end

-- The same message with another term: how often it was lost, and its deadline (the one it has, unless one is given).
local function with_term(envelope, lost, deadline)
  local ending = deadline and struct.pack('>I6', deadline) or string.sub(envelope, 6, 11)
  return string.sub(envelope, 1, 4) .. string.char(lost) .. ending .. string.sub(envelope, 12)
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
    if missing == tokens then
      redis.call('PEXPIRE', bell, string.find(name, '?', 1, true) and SINGLE_BELL_MS or BACKSTOP_MS)
    end
  end
end

local function make_ready(channel, envelope)
  local queue = list_of(queues, 'ready:', channel)
  queue[#queue + 1] = envelope
end

-- Calls *command* with *key* and many arguments, in as many calls as are needed; returns the sum of the answers.
local function call_in_parts(command, key, arguments)
  local sum = 0
  for first = 1, #arguments, PUSH_AT_ONCE do
    sum = sum + redis.call(command, key, unpack(arguments, first, math.min(first + PUSH_AT_ONCE - 1, #arguments)))
  end
  return sum
end

-- Reads of many lanes (ARGV from *first* to *last*) at once whether a message of each is out.
local function look_up_lanes(ARGV, first, last)
  for from = first, last, PUSH_AT_ONCE do
    local to = math.min(from + PUSH_AT_ONCE - 1, last)
    for index, out in ipairs(redis.call('HMGET', lanes_key, unpack(ARGV, from, to))) do
      lanes_out[ARGV[from + index - 1]] = out ~= false
    end
  end
end

local function is_out(lane)
  local out = lanes_out[lane]
  if out == nil then
    out = redis.call('HEXISTS', lanes_key, lane) == 1
    lanes_out[lane] = out
  end
  return out
end

-- Counts a message that nobody will get, and remembers the first of each kind for the log.
local function account(envelope, reason)
  count('dropped:' .. reason)
  local kind = reason .. '\0' .. address_of(envelope)
  records[kind] = records[kind] or (reason .. '\0' .. (#envelope <= LONGEST_RECORD and envelope
    or string.sub(envelope, 1, 15 + string.byte(envelope, 13) + string.byte(envelope, 15 + string.byte(envelope, 13)))))
end

local function bury_letter(envelope, reason)
  redis.call('XADD', prefix .. 'dead', '*', 'reason', reason, 'at', now, 'envelope', envelope)
  if redis.call('XLEN', prefix .. 'dead') > most_dead then
    count('dropped:dead_letters_full', redis.call('XTRIM', prefix .. 'dead', 'MAXLEN', '=', most_dead))
  end
end

-- Ends the life of a message, whose lane is not concerned.
local function discard(envelope, reason)
  account(envelope, reason)
  if attempts_of(envelope) > 0 then
    bury_letter(envelope, reason)
  end
end

local function release_lane(lane)
  local key = prefix .. 'lane:' .. lane
  local following = redis.call('LPOP', key)
  while following and deadline_of(following) <= now do
    discard(following, 'expired')
    following = redis.call('LPOP', key)
  end
  if following then
    make_ready((address_of(following)), following)
  else
    redis.call('HDEL', lanes_key, lane)
    lanes_out[lane] = false
  end
end

-- Releases many lanes; most have nothing waiting.
local function release_lanes(lanes)
  if #lanes == 0 then
    return
  end
  local lists = {}
  for index, lane in ipairs(lanes) do
    lists[index] = prefix .. 'lane:' .. lane
  end
  if redis.call('EXISTS', unpack(lists)) == 0 then
    redis.call('HDEL', lanes_key, unpack(lanes))
    for _, lane in ipairs(lanes) do
      lanes_out[lane] = false
    end
    return
  end
  for _, lane in ipairs(lanes) do
    release_lane(lane)
  end
end

local function drop(envelope, reason)
  discard(envelope, reason)
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
    redis.call('PEXPIRE', queue.key, BACKSTOP_MS)
    redis.call('ZADD', prefix .. 'singles', 'NX', deadline_of(queue[1]), queue.name)
  end
  ring(queue.name, math.min(length, MOST_TOKENS))
end

-- Writes what was gathered.
local function commit()
  if #lanes_begun > 0 then
    call_in_parts('HSET', lanes_key, lanes_begun)
    lanes_begun = {}
  end
  local writing_queues, writing_boxes = queues, boxes
  queues, boxes = {}, {}
  for name, queue in pairs(writing_queues) do
    if #queue > 0 then
      write_queue(queue)
    end
    local is_single = string.find(name, '?', 1, true)
    count(is_single and 'messages_count' or 'sent:' .. name, queue.sent)
    count(is_single and 'channel_full_count' or 'full:' .. name, queue.full)
  end
  for process, box in pairs(writing_boxes) do
    if #box > 0 then
      if write_out(box) == #box then -- a new list; its reader keeps it from then on
        redis.call('PEXPIRE', box.key, BACKSTOP_MS)
      end
      ring(process, 1)
    end
  end
  for _, record in pairs(records) do
    if redis.call('LLEN', prefix .. 'drops') < MOST_RECORDS then
      redis.call('RPUSH', prefix .. 'drops', record)
    end
  end
  records = {}
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

local function send_to_queue(queue, lane, body, ttl, capacity, attempts, lane_capacity)
  local envelope = head_of(ttl, attempts) .. queue.str8 .. STR8[#lane] .. lane .. body
  local has_lane = lane ~= ''
  if has_lane and is_out(lane) then
    local key = prefix .. 'lane:' .. lane
    if redis.call('RPUSH', key, envelope) > lane_capacity then
      redis.call('RPOP', key)
      return false
    end
    return true
  end
  if not has_room(queue, capacity) then
    return false
  end
  if has_lane then
    lanes_out[lane] = true
    lanes_begun[#lanes_begun + 1] = lane
    lanes_begun[#lanes_begun + 1] = OUT
  end
  queue[#queue + 1] = envelope
  return true
end

-- Returns how many entries of a process's mail were dropped and how many were read, ever; nil when it has none.
local function position_of(process)
  local known = redis.call('GET', prefix .. 'position:' .. process)
  if known then
    local dropped, read = string.match(known, '(%d+):(%d+)')
    return tonumber(dropped), tonumber(read)
  end
end

local function keep_position(process, dropped, read)
  redis.call('SET', prefix .. 'position:' .. process, string.format('%.0f:%.0f', dropped, read), 'PX', BACKSTOP_MS)
end

-- What was not read in time takes no room; the reader's position counts from the list's new beginning.
local function drop_expired_mail(box)
  local dropped, read = position_of(box.name)
  local before = dropped or 0
  dropped = before
  local head = redis.call('LINDEX', box.key, 0)
  while head and string.byte(head, 1) == 0x96 and deadline_of(head) <= now do
    redis.call('LPOP', box.key)
    box.length = box.length - 1
    dropped = dropped + 1
    if dropped > (read or 0) then
      account(head, 'expired')
    end
    head = redis.call('LINDEX', box.key, 0)
  end
  if dropped > before then
    keep_position(box.name, dropped, read or 0)
  end
end

-- Whether a process has been ended, and has not learned of it.
local function was_ended(process)
  return redis.call('GET', prefix .. 'reaped:' .. process) == ''
end

local function note_end(process, learned)
  redis.call('SET', prefix .. 'reaped:' .. process, learned and 'learned' or '', 'PX', BACKSTOP_MS)
end

local function send_to_process(process, envelope, capacity)
  local box = list_of(boxes, 'box:', process)
  if not has_length_below(box, capacity) then
    drop_expired_mail(box)
    if not has_length_below(box, capacity) then
      return false
    end
  end
  if box.length + #box == 0 and was_ended(process) then
    if string.byte(envelope, 1) == 0x96 then
      account(envelope, 'process_died')
    end
    return true
  end
  box[#box + 1] = envelope
  return true
end

-- Puts a message onto a channel of any kind. Returns false when that is full; nothing was stored then.
-- terms: the channel's capacity, plus how often its messages may be begun times ATTEMPTS_UNIT.
local function store(channel, lane, body, ttl, terms, lane_capacity)
  local queue = queues[channel]
  local process = not queue and process_of(channel)
  local attempts, taken = 0, nil
  if terms >= ATTEMPTS_UNIT then
    attempts = math.floor(terms / ATTEMPTS_UNIT)
    terms = terms - attempts * ATTEMPTS_UNIT
  end
  if process then
    taken = send_to_process(process, seal(channel, body, ttl), terms)
  else
    queue = queue or list_of(queues, 'ready:', channel)
    taken = send_to_queue(queue, lane, body, ttl, terms, attempts, lane_capacity)
    queue.sent = queue.sent + (taken and 1 or 0)
  end
  if taken and process then
    count('messages_count')
  end
  return taken
end

-- As store, for a sender who is told when there is no room; that is counted.
local function send_to_channel(channel, lane, body, ttl, terms, lane_capacity)
  local taken = store(channel, lane, body, ttl, terms, lane_capacity)
  if not taken and process_of(channel) then
    count('channel_full_count')
  elseif not taken then
    local queue = list_of(queues, 'ready:', channel)
    queue.full = queue.full + 1
  end
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
  local envelope = seal(group, body, ttl)
  local processes = redis.call('HKEYS', prefix .. 'group-processes:' .. group)
  local special = #processes > 0 and redis.call('EXISTS', prefix .. 'process-capacities') == 1
  for _, process in ipairs(processes) do
    local capacity = special and redis.call('HGET', prefix .. 'process-capacities', process)
    if send_to_process(process, envelope, tonumber(capacity or process_capacity)) then
      count('messages_count')
    else
      account(envelope, 'group_full')
    end
  end
  local direct = redis.call('HGETALL', prefix .. 'group-direct:' .. group)
  for index = 1, #direct, 2 do
    if not store(direct[index], '', body, ttl, tonumber(direct[index + 1]), 0) then
      account(envelope, 'group_full')
    end
  end
end

local function lease_of(lease)
  local key = prefix .. 'lease:' .. lease
  local flat = redis.call('HGETALL', key)
  local ids, envelopes, begun = {}, {}, 0
  for index = 1, #flat, 2 do
    local id = tonumber(flat[index])
    if flat[index] == 'begun' then
      begun = tonumber(flat[index + 1])
    elseif id then
      ids[#ids + 1] = id
      envelopes[id] = flat[index + 1]
    end
  end
  table.sort(ids)
  return key, ids, envelopes, begun
end

-- Puts messages, which were taken once, back to the front of their channels, in order.
local function give_back(envelopes)
  local returned = {}
  for index = #envelopes, 1, -1 do
    local channel = address_of(envelopes[index])
    redis.call('LPUSH', prefix .. 'ready:' .. channel, envelopes[index])
    returned[channel] = math.min((returned[channel] or 0) + 1, MOST_TOKENS)
  end
  for channel, tokens in pairs(returned) do
    if string.find(channel, '?', 1, true) then
      redis.call('ZADD', prefix .. 'singles', 'NX', now, channel)
    end
    ring(channel, tokens)
  end
end

local function leave_will(lane, channel, terms, body, lease_ms)
  local process = process_of(lane)
  local will = string.char(math.floor(terms / ATTEMPTS_UNIT)) .. str8(channel) .. body
  redis.call('HSET', prefix .. 'wills:' .. process, lane, will)
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
  local dropped, read = position_of(process)
  for _, entry in ipairs(redis.call('LRANGE', prefix .. 'box:' .. process, math.max((read or 0) - (dropped or 0), 0), -1)) do
    if string.byte(entry, 1) == 0x96 then
      account(entry, 'process_died')
    end
  end
  for _, kind in ipairs({'box:', 'position:', 'control:', 'process-groups:', 'wills:', 'bell:'}) do
    redis.call('DEL', prefix .. kind .. process)
  end
  redis.call('HDEL', prefix .. 'process-capacities', process)
  redis.call('ZREM', prefix .. 'processes', process)
end

-- Ends a lease. What was not begun under it (or is among *unstarted*, a set of ids) goes back; what was is dropped, or
-- handed out again if it may be.
-- Returns  for each message that was begun: its fate, its envelope
local function end_lease(lease, unstarted)
  local key, ids, envelopes, begun = lease_of(lease)
  redis.call('DEL', key)
  redis.call('ZREM', prefix .. 'leases', lease)
  local returning, fates = {}, {}
  for _, id in ipairs(ids) do
    local envelope, fate = envelopes[id], 'dropped'
    if id > begun or unstarted[id] then
      returning[#returning + 1] = envelope
    else
      local attempts, lost = attempts_of(envelope), string.byte(envelope, 5) + 1
      if attempts > 0 then
        envelope = with_term(envelope, math.min(lost, 255))
        fate = lost < attempts and 'repeated' or 'buried'
      end
      if fate == 'repeated' then
        returning[#returning + 1] = envelope
      else
        drop(envelope, 'worker_died')
      end
      fates[#fates + 1] = fate
      fates[#fates + 1] = envelope
    end
  end
  give_back(returning)
  return fates
end
