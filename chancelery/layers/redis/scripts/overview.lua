-- Tells how much waits on some channels or in some processes' mail, and for how long.
--
-- KEYS[1]  the layer's prefix
-- ARGV     clock, milliseconds that a message lives, and names: those of processes end in "!"
-- Returns  clock, then for each name in a row: messages pending, age of the oldest in milliseconds

begin(KEYS[1], ARGV[1])
local lifetime = tonumber(ARGV[2])
local answer = {now}

for index = 3, #ARGV do
  local name, list, first = ARGV[index], prefix .. 'ready:' .. ARGV[index], 0
  if process_of(name) then
    local dropped, read = position_of(name)
    list, first = prefix .. 'box:' .. name, math.max((read or 0) - (dropped or 0), 0)
  end
  local head, age = redis.call('LINDEX', list, first), 0
  if head and string.byte(head, 1) == 0x96 then
    age = math.max(now - (deadline_of(head) - lifetime), 0)
  end
  answer[#answer + 1] = math.max(redis.call('LLEN', list) - first, 0)
  answer[#answer + 1] = age
end
return answer
