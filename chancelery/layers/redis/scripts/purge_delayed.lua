-- Drops messages that wait for their time to go to a channel, a bounded number in one go.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, most dead letters, channel, where to look on: "0", or what the call before has returned
-- Returns  messages dropped, where to look on; "0" when all was seen

begin(KEYS[1], ARGV[1], ARGV[2])
local LOOKED_AT_ONCE = 500
local channel, dropped = ARGV[3], 0
local cursor, found = unpack(redis.call('ZSCAN', prefix .. 'delayed', ARGV[4], 'COUNT', LOOKED_AT_ONCE))
for index = 1, #found, 2 do
  local id = found[index]
  local form, address = string.match(id, '^[%dk]+([ac])(%Z+)')
  if address == channel then
    local _, _, _, lane, terms, body = unpack(cmsgpack.unpack(redis.call('HGET', prefix .. 'delayed-messages', id)))
    if form == 'a' then
      drop(body, 'purged')
    else
      local attempts = math.floor(terms / ATTEMPTS_UNIT)
      discard(head_of(0, attempts) .. str8(channel) .. str8(lane) .. body, 'purged')
    end
    remove_delayed(id)
    dropped = dropped + 1
  end
end
commit()
return {dropped, cursor}
