-- Lists members of groups.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, "group" or "process", its name
-- Returns  for a group its channels; for a process group, channel and deadline of each of its memberships, in a row

begin(KEYS[1], ARGV[1])

if ARGV[2] == 'group' then
  drop_expired_members(ARGV[3])
  return redis.call('ZRANGE', prefix .. 'group:' .. ARGV[3], 0, -1)
end

local process, found = ARGV[3], {}
for _, group in ipairs(redis.call('SMEMBERS', prefix .. 'process-groups:' .. process)) do
  drop_expired_members(group)
  local members = redis.call('ZRANGE', prefix .. 'group:' .. group, 0, -1, 'WITHSCORES')
  for index = 1, #members, 2 do
    if process_of(members[index]) == process then
      found[#found + 1] = group
      found[#found + 1] = members[index]
      found[#found + 1] = members[index + 1]
    end
  end
end
return found
