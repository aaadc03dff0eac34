-- Reads a process's mail from a position on, and drops what lies before it.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, process, position, most entries to read, milliseconds that a process may be silent
-- Returns  clock, position to read on from, entries, 1 if the list was not where it was left or 2 if the process was
--          taken for dead and its connections have been given up

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

-- Whoever reads is alive; whoever is no longer listed has been ended, or has no connections.
if redis.call('ZADD', prefix .. 'processes', 'XX', 'CH', now + ARGV[5], process) == 0
    and redis.call('DEL', prefix .. 'reaped:' .. process) == 1 then
  lost = 2
end

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
return {now, base + #raw, entries, lost}
