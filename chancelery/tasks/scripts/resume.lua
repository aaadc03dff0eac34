-- Has a job tell the asking socket what it has said after a point, and whatever it says from now on, in order, with
-- nothing missing between the two. Repeated, it tells the same again.
--
-- KEYS[1]  the job's record
-- ARGV     who asks, see holders.lua; then the terms of the socket's channel, the prefix of its layer, the seq of the last
--          event that it has (-1: all that no socket was told), sender, process, "1" if it is a socket that asks, and the
--          stream that it asks on, or ""
-- Returns  nil when there is no such job for it; else the job's state, its seq, the seq of the last event that was sent,
--          and 1 when the socket is bound, 0 when there is more to be asked for first, -1 when there was no room

local MOST_EVENTS, MOST_BYTES, READ_AT_ONCE = 200, 524288, 20

local job = job_for(KEYS[1], ARGV)
local name, terms, layer, after = ARGV[1], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
if not job or job.layer ~= layer then
  return false
end
if after < 0 then
  after = tonumber(redis.call('HGET', KEYS[1], 'missed') or job.seq)
end
local frames, last, bytes, is_whole = {}, after, 0, false

local function say(seq, kind, json, apart)
  frames[#frames + 1] = frame_of(job, seq, {kind = kind, json = json, apart = apart}, nil, ARGV[10])
  last, bytes = seq, bytes + #json
end

-- In the place of events that are not kept any more, or which the server has lost and the client has not.
local function say_snapshot(seq)
  say(seq, 'snapshot', snapshot_of(job))
end

local function say_kept()
  local found = redis.call('XRANGE', KEYS[1] .. ':events', string.format('%.0f-0', last + 1), '+', 'COUNT', READ_AT_ONCE)
  for _, entry in ipairs(found) do
    local seq = tonumber(string.match(entry[1], '^%d+'))
    if seq > last + 1 then
      say_snapshot(seq - 1)
    end
    say(seq, entry[2][2], entry[2][4], entry[2][10])
  end
  return #found < READ_AT_ONCE
end

if after > job.seq then
  say_snapshot(job.seq)
end
repeat
  is_whole = say_kept()
until is_whole or #frames >= MOST_EVENTS or bytes >= MOST_BYTES

-- All of them or none: one that found no room would be a gap.
local box = list_of(boxes, 'box:', process_of(name))
local capacity = terms % ATTEMPTS_UNIT - #frames
if not has_length_below(box, capacity + 1) then
  drop_expired_mail(box)
  if not has_length_below(box, capacity + 1) then
    close(job)
    return {job.state, job.seq, after, -1}
  end
end
for _, content in ipairs(frames) do
  send_to_channel(name, '', content .. trail_to(job, name, ARGV[7], ARGV[8]), job.message_ms, terms, 0)
end
if is_whole then
  bind(job, name, terms, ARGV[9] == '1', 1, ARGV[10])
  redis.call('HDEL', KEYS[1], 'missed', 'lapses')
  redis.call('ZREM', job.root .. 'inbox:' .. job.owner, job.id)
else
  unbind(job, name) -- what it says meanwhile would overtake what it has said
end
close(job)
return {job.state, job.seq, last, is_whole and 1 or 0}
