-- Finishes deliveries with what their consumers sent, then hands out the next messages: one round trip.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock ("" for the server's), lease ("" for none), milliseconds that a lease lasts,
--          milliseconds that a message lives, lane capacity, process capacity,
--          number of finished deliveries, and for each
--              its id in the lease ("" for sends that belong to none), its lane, number of sends, and for each
--                  kind, address, lane, capacity, body; the kinds are
--                      "c" to a channel, "g" to a group,
--                      "o" to a channel, and the lane's connection is open: two more, its will's channel and body,
--                      "x" to a channel, and the lane's connection is closed: its will is void
--          most messages to fetch, id of the first, number of channels, their names
-- Returns  clock, refused sends (their numbers from 1, counted over all deliveries), envelopes

begin(KEYS[1], ARGV[1])
local lease, lease_ms, ttl = ARGV[2], ARGV[3], tonumber(ARGV[4])
local lane_capacity, process_capacity = tonumber(ARGV[5]), tonumber(ARGV[6])
local lease_key = prefix .. 'lease:' .. lease
local at = 8
local refused, sent = {}, 0

-- Sends what begins at this argument. Returns false when there was no room.
local function send(index)
  local kind, address, lane, body = ARGV[index], ARGV[index + 1], ARGV[index + 2], ARGV[index + 4]
  if kind == 'g' then
    send_to_group(address, body, ttl, process_capacity)
    return true
  end
  if not send_to_channel(address, lane, body, ttl, tonumber(ARGV[index + 3]), lane_capacity) then
    return false
  end
  if kind == 'o' then
    leave_will(lane, ARGV[index + 5], ARGV[index + 6], lease_ms)
  elseif kind == 'x' then
    redis.call('HDEL', prefix .. 'wills:' .. process_of(lane), lane)
  end
  return true
end

for _ = 1, tonumber(ARGV[7]) do
  local id, held_lane, sends = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  -- A lease that no longer holds the delivery was reaped, or this is a repetition: its sends are not stored again.
  local valid = id == '' or redis.call('HDEL', lease_key, id) == 1
  for _ = 1, sends do
    sent = sent + 1
    if valid and not send(at) then
      refused[#refused + 1] = sent
    end
    at = at + (ARGV[at] == 'o' and 7 or 5)
  end
  if valid and held_lane ~= '' then
    release_lane(held_lane)
  end
end

-- What was released or sent may be fetched at once.
commit()
local limit, first = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
local fetched, leased = {}, {}

local function take(channel)
  local ready = prefix .. 'ready:' .. channel
  while #fetched < limit do
    local batch = redis.call('LPOP', ready, limit - #fetched)
    if not batch then
      commit()
      if redis.call('EXISTS', ready) == 0 then
        redis.call('DEL', prefix .. 'bell:' .. channel)
        return
      end
      batch = {}
    end
    for index, envelope in ipairs(batch) do
      if string.byte(envelope, 2) > VERSION then
        for rest = #batch, index, -1 do
          redis.call('LPUSH', ready, batch[rest])
        end
        return
      elseif deadline_of(envelope) <= now then
        drop(envelope, 'expired')
      else
        fetched[#fetched + 1] = envelope
        leased[#leased + 1] = first + #fetched - 1
        leased[#leased + 1] = envelope
      end
    end
  end
end

for index = at + 3, at + 2 + tonumber(ARGV[at + 2]) do
  if #fetched >= limit then
    break
  end
  take(ARGV[index])
end

if #leased > 0 then
  redis.call('HSET', lease_key, unpack(leased))
end
if lease ~= '' then
  redis.call('ZADD', prefix .. 'leases', now + lease_ms, lease)
end
commit()
return {now, refused, fetched}
