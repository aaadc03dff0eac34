-- Reads a process's mail from a position on, and drops what lies before it.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, process, position, most entries to read
-- Returns  clock, position to read on from, 1 if the list was not where it was left, entries

begin(KEYS[1], ARGV[1])
local process, position = ARGV[2], tonumber(ARGV[3])
local box, position_key = prefix .. 'box:' .. process, prefix .. 'position:' .. process
local known = redis.call('GET', position_key)
local base = tonumber(known or 0)
local lost = 0

if position > 0 and known and position < base then
  position = base -- what lay between has expired and made room
elseif position < base or position > base + redis.call('LLEN', box) or (position > 0 and not known) then
  lost = 1
elseif position > base then
  redis.call('LTRIM', box, position - base, -1)
  base = position
end
redis.call('SET', position_key, base, 'PX', BACKSTOP_MS)
redis.call('PEXPIRE', prefix .. 'control:' .. process, BACKSTOP_MS)

local raw = redis.call('LRANGE', box, 0, tonumber(ARGV[4]) - 1)
local entries = {}
for _, entry in ipairs(raw) do
  if string.byte(entry, 1) == 0x96 and deadline_of(entry) <= now then
    count('dropped:expired')
  else
    entries[#entries + 1] = entry
  end
end
if #raw > 0 then
  redis.call('PEXPIRE', box, BACKSTOP_MS)
end
commit()
return {now, base + #raw, lost, entries}
