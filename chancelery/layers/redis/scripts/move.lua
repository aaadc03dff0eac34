-- Puts messages whose time has come onto their channels, a bounded number in one go.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, most dead letters, milliseconds that a message lives, lane capacity, process capacity, most messages,
--          how far to go: "" for what is due by now, or the clock of the first of several calls
-- Returns  clock, messages let out, 1 if there may be more, the time at which the next is due ("" if none waits)

begin(KEYS[1], ARGV[1], ARGV[2])
local PUT_OFF_MS = 1000
local ttl, lane_capacity, process_capacity = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local most, due_by = tonumber(ARGV[6]), ARGV[7] == '' and now or tonumber(ARGV[7])
local delayed, messages = prefix .. 'delayed', prefix .. 'delayed-messages'
local let = 0

redis.call('DEL', prefix .. 'bell:' .. DELAYED_BELL) -- what it was rung for is seen here
local ids = redis.call('ZRANGEBYSCORE', delayed, '-inf', due_by, 'LIMIT', 0, most)
for _, id in ipairs(ids) do
  local entry = cmsgpack.unpack(redis.call('HGET', messages, id))
  if entry[1] > VERSION then
    redis.call('ZADD', delayed, now + PUT_OFF_MS, id) -- for a newer process to move
  elseif let_out(entry, ttl, lane_capacity, process_capacity) then
    let = let + 1
    remove_delayed(id)
    if entry[7] then
      pause(id, entry[7])
    end
  else
    if not entry[9] then
      note_refusal(entry[2], entry[3])
      entry[7], entry[8], entry[9] = entry[7] or false, entry[8] or false, 1
      redis.call('HSET', messages, id, cmsgpack.pack(entry))
    end
    redis.call('ZADD', delayed, now + PUT_OFF_MS, id)
  end
end
commit()
return {now, let, #ids == most and 1 or 0, redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2] or ''}
