-- Sends one dead letter again.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, most dead letters, milliseconds that a message lives, lane capacity, id of the letter, capacity of its
--          channel
-- Returns  1 if it was sent, and is no dead letter any more; 0 if it is not there or there was no room

begin(KEYS[1], ARGV[1], ARGV[2])
local dead, id = prefix .. 'dead', ARGV[5]
local entry = redis.call('XRANGE', dead, id, id)[1]
if not entry then
  return 0
end

local fields = {}
for index = 1, #entry[2], 2 do
  fields[entry[2][index]] = entry[2][index + 1]
end
local envelope = fields.envelope
local channel, lane = address_of(envelope)
local body = string.sub(envelope, 16 + #channel + #lane)
local terms = attempts_of(envelope) * ATTEMPTS_UNIT + tonumber(ARGV[6])
local taken = string.byte(envelope, 2) <= VERSION
  and send_to_channel(channel, lane, body, tonumber(ARGV[3]), terms, tonumber(ARGV[4]))
if taken then
  redis.call('XDEL', dead, id)
end
commit()
return taken and 1 or 0
