-- Finishes deliveries with what their consumers sent, then hands out the next messages: one round trip.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock ("" for the server's), lease ("" for none), milliseconds that a lease lasts,
--          milliseconds that a message lives, lane capacity, process capacity, most dead letters,
--          id of the last delivery of earlier calls that counts as begun (0 for no change),
--          number of finished deliveries (or 1, with the id "", for sends that belong to none), number of sends,
--          then for all deliveries their ids, for all their lanes, for all their numbers of sends ("l" for one that is
--              to be handled later, and has none),
--          then for all sends their lanes, and for each
--              kind, address, terms (see send_to_channel), body; the kinds are
--                  "c" to a channel, "g" to a group,
--                  "o" to a channel, and the lane's connection is open: three more, its will's channel, terms, body
--                  "x" to a channel, and the lane's connection is closed: its will is void; nothing is sent when
--                      the will was, for its process had been ended
--                  "y" as "x", and nothing is sent when there is no will
--                  "r" to a channel, by the lane's connection: dropped when its will was carried out
--                  "d" to a channel, for later: three more, how many messages may wait, milliseconds to wait, the moment
--                      to wait for (0: none); "D" to a group
--                  "k" to a channel, the latest of its key: four more, how many messages may wait, the key, milliseconds
--                      between two, the kind; "K" to a group
--          for each that is to be handled later: milliseconds until then, body
--          most messages to fetch, id of the first, how many of them count as begun, number of channels, their names
-- Returns  clock, refused sends (their numbers from 1, counted over all deliveries), envelopes,
--          1 if the lease was held, 0 if it had been ended: then nothing was done

begin(KEYS[1], ARGV[1], ARGV[7])
local lease, lease_ms, ttl = ARGV[2], ARGV[3], tonumber(ARGV[4])
local lane_capacity, process_capacity, begun = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[8])
local lease_key = prefix .. 'lease:' .. lease
local finished, sends = tonumber(ARGV[9]), tonumber(ARGV[10])
local ids, held_lanes, numbers = 10, 10 + finished, 10 + 2 * finished -- each behind this
local lanes = 10 + 3 * finished
local at = lanes + sends + 1
local refused, sent = {}, 0

-- A lease that is not listed is a new one, or one that a reaper has ended, or the server has lost it and all else.
local is_new = lease ~= '' and redis.call('ZADD', prefix .. 'leases', now + lease_ms, lease) == 1
local is_lost = is_new and (begun > 0 or finished > 0) -- something of it was handed out before
if is_lost or (is_new and redis.call('EXISTS', prefix .. 'ended:' .. lease) == 1) then
  redis.call('ZREM', prefix .. 'leases', lease)
  count('dropped:fenced', sends)
  commit()
  return {now, {}, {}, 0}
end

-- Whether a connection's last message, or its will in its stead, has been sent. Without a will this is so if the message
-- is sent again, or if its process was ever ended; else the server has lost the will.
local function has_left(kind, lane)
  local process = process_of(lane)
  return redis.call('HEXISTS', prefix .. 'wills:' .. process, lane) == 0
    and (kind == 'y' or redis.call('EXISTS', prefix .. 'reaped:' .. process) == 1)
end

local ended = {}

-- Whether the will of a lane's connection has been carried out. Asks of each process once: most were never ended.
local function was_buried(lane)
  local process = process_of(lane)
  if ended[process] == nil then
    ended[process] = redis.call('EXISTS', prefix .. 'reaped:' .. process) == 1
  end
  return ended[process] and has_left('x', lane)
end

-- Sends what begins at this argument. Returns false when there was no room.
local function send(index, lane)
  local kind, address, body = ARGV[index], ARGV[index + 1], ARGV[index + 3]
  if TIMED[kind] then
    return send_in_time(ARGV, index, lane, ttl, lane_capacity, process_capacity)
  end
  if kind == 'g' then
    send_to_group(address, body, ttl, process_capacity)
    return true
  end
  if kind == 'r' and was_buried(lane) then
    account(seal(address, body, ttl), 'process_died')
    return true
  end
  local leaves = kind == 'x' or kind == 'y'
  if leaves and has_left(kind, lane) then
    return true
  end
  if not send_to_channel(address, lane, body, ttl, tonumber(ARGV[index + 2]), lane_capacity) then
    return false
  end
  if kind == 'o' then
    leave_will(lane, ARGV[index + 4], ARGV[index + 5], ARGV[index + 6], lease_ms)
  elseif leaves then
    redis.call('HDEL', prefix .. 'wills:' .. process_of(lane), lane)
  end
  return true
end

-- Takes the finished deliveries out of the lease. Returns for each whether it was there (its envelope, if it is handled
-- later): what a lease does not hold (any more) is a repetition, and its sends are not stored again.
local function take_out()
  if lease == '' then
    return {true}
  elseif finished == 1 and ARGV[numbers + 1] ~= 'l' then
    return {redis.call('HDEL', lease_key, ARGV[ids + 1]) == 1}
  end
  local held = {}
  for first = 1, finished, PUSH_AT_ONCE do
    local from, to = ids + first, ids + math.min(first + PUSH_AT_ONCE - 1, finished)
    for index, envelope in ipairs(redis.call('HMGET', lease_key, unpack(ARGV, from, to))) do
      local id = ARGV[from + index - 1]
      held[first + index - 1] = not held[id] and envelope
      held[id] = true
    end
    redis.call('HDEL', lease_key, unpack(ARGV, from, to))
  end
  return held
end

local held = finished > 0 and take_out()
if sends > 1 and ARGV[lanes + 1] ~= '' then
  look_up_lanes(ARGV, lanes + 1, lanes + sends)
end
local released, later = {}, nil
for number = 1, finished do
  local own = tonumber(ARGV[numbers + number])
  for _ = 1, own or 0 do
    sent = sent + 1
    if held[number] and not send(at, ARGV[lanes + sent]) then
      refused[#refused + 1] = sent
    end
    at = at + 4 + (MORE_ARGUMENTS[ARGV[at]] or 0)
  end
  if not own then
    later = later or {}
    later[#later + 1] = held[number]
  elseif held[number] and ARGV[held_lanes + number] ~= '' then
    released[#released + 1] = ARGV[held_lanes + number]
  end
end
for _, envelope in ipairs(later or {}) do
  if envelope then
    handle_later(envelope, tonumber(ARGV[at]), ARGV[at + 1])
  end
  at = at + 2
end
release_lanes(released)

-- What was released or sent may be fetched at once.
commit()
local limit, first = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
local beginning = tonumber(ARGV[at + 2])
local fetched, leased = {}, {}

-- A call that comes late, after its worker has given it up and recovered, must not hand out anything: nobody reads it.
if limit > 0 and first < tonumber(redis.call('HGET', lease_key, 'recovered') or 0) then
  limit, begun = 0, 0
end

-- Takes a batch off a channel. Returns false when its next message is for a newer version of this package: that goes back.
local has_dropped = false
local function take(ready, batch)
  for index, envelope in ipairs(batch) do
    local version, _, _, _, a, b, c, d, e, f = string.byte(envelope, 2, 11)
    if version > VERSION then
      for rest = #batch, index, -1 do
        redis.call('LPUSH', ready, batch[rest])
      end
      return false
    elseif ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f <= now then -- its deadline
      drop(envelope, 'expired')
      has_dropped = true
    else
      fetched[#fetched + 1] = envelope
      leased[#leased + 1] = first + #fetched - 1
      leased[#leased + 1] = envelope
    end
  end
  if has_dropped then
    commit() -- what waited behind it may be taken now
  end
  return true
end

-- Makes the bells of empty channels silent, so that they wake nobody in vain.
local function silence(empty)
  local bells = {}
  for _, channel in ipairs(empty) do
    if not has_dropped or redis.call('EXISTS', prefix .. 'ready:' .. channel) == 0 then
      bells[#bells + 1] = prefix .. 'bell:' .. channel
    end
  end
  if #bells > 0 then
    redis.call('DEL', unpack(bells))
  end
end

local names, places, asked, empty = at + 3, {}, {}, {}
local number_of_channels = tonumber(ARGV[names])
for place = 1, number_of_channels do
  asked[place] = prefix .. 'ready:' .. ARGV[names + place]
  places[asked[place]] = place
end
asked[number_of_channels + 1], asked[number_of_channels + 2] = 'LEFT', 'COUNT'
local place = 1
while #fetched < limit and place <= number_of_channels do
  asked[number_of_channels + 3] = limit - #fetched
  local found = redis.call('LMPOP', number_of_channels - place + 1, unpack(asked, place))
  local next_place = found and places[found[1]] or number_of_channels + 1
  for before = place, next_place - 1 do
    empty[#empty + 1] = ARGV[names + before]
  end
  place = next_place
  if found and not take(found[1], found[2]) then
    place = place + 1
  end
end
silence(empty)

if #fetched > 0 and beginning > 0 then
  begun = first + math.min(beginning, #fetched) - 1
elseif begun > 0 and begun < tonumber(redis.call('HGET', lease_key, 'begun') or 0) then
  begun = 0 -- the mark only rises
end
if begun > 0 then
  leased[#leased + 1] = 'begun'
  leased[#leased + 1] = begun
end
if #leased > 0 then
  redis.call('HSET', lease_key, unpack(leased))
end
commit()
return {now, refused, fetched, 1}
