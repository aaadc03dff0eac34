-- Writes what has changed in a session, and leaves what others have changed in it.
--
-- KEYS[1]  the session's hash, see load.lua
-- ARGV     what is asked for ('create': it must not exist; 'change': it must; 'replace': it must, and all else in it is
--          removed), milliseconds that it is kept, the number of fields to set, these and their values in turn, then
--          the fields to remove
-- Returns  1, or 0 when it exists and must not, or must and does not: nothing was written then

local exists = redis.call('EXISTS', KEYS[1]) == 1
if exists == (ARGV[1] == 'create') then
  return 0
end
if ARGV[1] == 'replace' then
  redis.call('DEL', KEYS[1])
end
redis.call('HSET', KEYS[1], '', '')
local removed = 4 + 2 * tonumber(ARGV[3])
for index = 4, removed - 1, 2 do
  redis.call('HSET', KEYS[1], ARGV[index], ARGV[index + 1])
end
for index = removed, #ARGV do
  redis.call('HDEL', KEYS[1], ARGV[index])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
