-- Reads a session.
--
-- KEYS[1]  the session's hash: '' marks that it exists, each other field is a key of the session
-- Returns  fields and values in turn, without the mark; false when there is no session

if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  if all[index] ~= '' then
    found[#found + 1] = all[index]
    found[#found + 1] = all[index + 1]
  end
end
return found
