-- Reads a process's mail from a position on, and drops what lies before it.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, process, position, most entries to read, milliseconds that a process may be silent
-- Returns  clock, position to read on from, entries, 1 if the list was not where it was left or 2 if the process was
--          taken for dead and its connections have been given up

begin(KEYS[1], ARGV[1])
local process, position = ARGV[2], tonumber(ARGV[3])
local box = prefix .. 'box:' .. process
local base, read = position_of(process)
local known = base ~= nil
base, read = base or 0, read or 0
local lost = 0

if position > read or (position > 0 and not known) then
  lost = 1 -- more was read than the server knows of: it has come back with an older state, or with none
  position = math.max(read, base)
elseif position < base then
  lost = position == 0 and 1 or 0 -- a reader that has just begun; or what lay between has expired and made room
  position = base
end
if position > base then
  redis.call('LTRIM', box, position - base, -1)
  base = position
end
redis.call('PEXPIRE', prefix .. 'control:' .. process, BACKSTOP_MS)

-- Whoever reads is alive. It may be listed though it was ended: a connection that came since has left a will.
redis.call('ZADD', prefix .. 'processes', 'XX', now + ARGV[5], process)
if was_ended(process) then
  note_end(process, true)
  lost = 2
end

local raw = redis.call('LRANGE', box, 0, tonumber(ARGV[4]) - 1)
local entries = {}
for _, entry in ipairs(raw) do
  if string.byte(entry, 1) == 0x96 and deadline_of(entry) <= now then
    account(entry, 'expired')
  else
    entries[#entries + 1] = entry
  end
end
if #raw > 0 then
  redis.call('PEXPIRE', box, BACKSTOP_MS)
end
keep_position(process, base, base + #raw)
commit()
return {now, base + #raw, entries, lost}
