-- What a script writes, gathered: queues, lanes and mail, and what is told of messages that are dropped.
--
-- A call of Redis costs more here than anything else (about 2 µs), so what one script puts on queues and mail lists is
-- gathered and written by commit(), which every script ends with; what it counts, too.

local SINGLE_BELL_MS = 30000
local PUSH_AT_ONCE = 4000
local MOST_TOKENS = 16
local MOST_RECORDS = 64
local LONGEST_RECORD = 65536
-- Above 64 bytes, so that Redis makes the hash of lanes a table at once: as a listpack, which it would be up to 512 lanes,
-- it is searched from end to end, at up to 40 µs a message.
local OUT = ('-'):rep(65)

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
