-- Messages that wait for their time: sent for later, sent at most so often, or to be handled again later.
--
-- Each waits in the hash "delayed-messages" under its id, as msgpack
--     [version, form, address, lane, terms (see store), body, milliseconds between two, kind, 1 if it was refused]
-- of which the last three may be missing. The forms are "c" to a channel, "g" to a group, "a" to be handled again: its
-- body is the whole envelope then, and its lane stays taken. Ids are a number, the form, the address; or, of what goes
-- out at most so often, "k", the form, the address, the lane, the key, with zero bytes between them. Names have none.

local DELAYED_BELL = '@delayed'
local PAUSE_GRACE_MS = 60000
-- How exchange.lua calls the sends that have a time: the form, and whether it is the latest of its key that goes out.
local TIMED = {d = {'c', false}, D = {'g', false}, k = {'c', true}, K = {'g', true}}
-- How many arguments a send of each kind has there beyond four.
local MORE_ARGUMENTS = {o = 3, d = 3, D = 3, k = 4, K = 4}

-- Lets a message out. Returns false when there was no room for it.
local function let_out(entry, ttl, lane_capacity, process_capacity)
  local form, address, body = entry[2], entry[3], entry[6]
  if form == 'g' then
    send_to_group(address, body, ttl, process_capacity)
    return true
  elseif form == 'a' then
    make_ready(address, with_term(body, string.byte(body, 5), now + ttl))
    return true
  end
  return store(address, entry[4], body, ttl, entry[5], lane_capacity)
end

local function note_refusal(form, address)
  if form == 'g' then
    count('channel_full_count')
  else
    count_refusal(address)
  end
end

local function wait_until(due, id, entry)
  local delayed = prefix .. 'delayed'
  local first = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2]
  redis.call('HSET', prefix .. 'delayed-messages', id, cmsgpack.pack(entry))
  redis.call('ZADD', delayed, due, id)
  if not first or due < tonumber(first) then
    ring(DELAYED_BELL, 1)
  end
end

local function new_id(form, address)
  return string.format('%016.0f', redis.call('HINCRBY', prefix .. 'delayed-messages', 'last', 1)) .. form .. address
end

local function wait_if_room(due, id, entry, most_delayed)
  if redis.call('ZCARD', prefix .. 'delayed') >= most_delayed then
    return false
  end
  wait_until(due, id or new_id(entry[2], entry[3]), entry)
  return true
end

-- Lets nothing more out under an id of what goes out at most so often, until the time is over. By the server's own clock
-- the key is kept for longer: under an injected one, time passes otherwise.
local function pause(id, every)
  redis.call('SET', prefix .. 'paced:' .. id, string.format('%.0f', now + every), 'PX', every + PAUSE_GRACE_MS)
end

-- Sends what has a time, or keeps it. Returns false when there was no room.
local function send_for_later(entry, due, most_delayed, ttl, lane_capacity, process_capacity)
  if due > now then
    return wait_if_room(due, nil, entry, most_delayed)
  end
  return let_out(entry, ttl, lane_capacity, process_capacity)
end

-- Sends the latest of its key, at most every so often. Returns false when there was no room.
local function send_latest(entry, key, most_delayed, ttl, lane_capacity, process_capacity)
  local id = table.concat({'k' .. entry[2] .. entry[3], entry[4], key}, '\0')
  local waiting = redis.call('HGET', prefix .. 'delayed-messages', id)
  if waiting then
    local before = cmsgpack.unpack(waiting)
    if before[8] ~= entry[8] and not let_out(before, ttl, lane_capacity, process_capacity) then
      return false
    end
    redis.call('HSET', prefix .. 'delayed-messages', id, cmsgpack.pack(entry))
    return true
  end
  local paused = tonumber(redis.call('GET', prefix .. 'paced:' .. id) or 0)
  if paused > now then
    return wait_if_room(paused, id, entry, most_delayed)
  end
  if not let_out(entry, ttl, lane_capacity, process_capacity) then
    return false
  end
  pause(id, entry[7])
  return true
end

-- Sends what begins at this argument, and has a time. Returns false when there was no room.
local function send_in_time(ARGV, index, lane, ttl, lane_capacity, process_capacity)
  local form, is_latest = unpack(TIMED[ARGV[index]])
  local address, most_delayed = ARGV[index + 1], tonumber(ARGV[index + 4])
  local entry = {VERSION, form, address, lane, tonumber(ARGV[index + 2]), ARGV[index + 3]}
  local taken
  if is_latest then
    entry[7], entry[8] = tonumber(ARGV[index + 6]), ARGV[index + 7]
    taken = send_latest(entry, ARGV[index + 5], most_delayed, ttl, lane_capacity, process_capacity)
  else
    local delay, due = tonumber(ARGV[index + 5]), tonumber(ARGV[index + 6])
    taken = send_for_later(entry, due > 0 and due or now + delay, most_delayed, ttl, lane_capacity, process_capacity)
  end
  if not taken then
    note_refusal(form, address)
  end
  return taken
end

-- Keeps a message that was out until it is handled again; for it there is always room.
local function handle_later(envelope, delay, body)
  local channel, lane = address_of(envelope)
  local head = string.sub(envelope, 1, 15 + #channel + #lane)
  wait_until(now + delay, new_id('a', channel), {VERSION, 'a', channel, lane, 0, head .. body})
end

-- Takes a message out of those that wait.
local function remove_delayed(id)
  redis.call('ZREM', prefix .. 'delayed', id)
  redis.call('HDEL', prefix .. 'delayed-messages', id)
  if redis.call('EXISTS', prefix .. 'delayed') == 0 then
    redis.call('DEL', prefix .. 'delayed-messages') -- with the number of the last id
  end
end
