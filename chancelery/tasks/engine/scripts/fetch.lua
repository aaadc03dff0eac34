-- Takes the next message off some queues and notes that it is held, in one step: what is on its way to a worker that
-- dies meanwhile is not lost, as it is with BRPOP.
--
-- KEYS[1]  what is held, as kombu has it: hash, delivery tag -> [message, exchange, routing key] as JSON
-- KEYS[2]  since when: sorted set, delivery tag -> seconds since the epoch
-- KEYS[…]  the queues, best first, each followed by its bell
-- ARGV     now, then "1" for each queue whose messages are to be acknowledged, or "0"
-- Returns  the number of the queue among these and the message, or nil when all are empty

for index = 3, #KEYS, 2 do
  local message = redis.call('RPOP', KEYS[index])
  if message then
    if redis.call('EXISTS', KEYS[index]) == 1 and redis.call('EXISTS', KEYS[index + 1]) == 0 then
      redis.call('LPUSH', KEYS[index + 1], '1')
      redis.call('EXPIRE', KEYS[index + 1], 60)
    end
    local number = (index - 1) / 2
    local readable, decoded = pcall(cjson.decode, message)
    local properties = readable and type(decoded) == 'table' and decoded.properties
    if ARGV[number + 1] == '1' and properties then  -- without, kombu says what is wrong with it
      local info = properties.delivery_info
      redis.call('HSET', KEYS[1], properties.delivery_tag, '[' .. message .. ',' ..
        cjson.encode(info.exchange or '') .. ',' .. cjson.encode(info.routing_key or '') .. ']')
      redis.call('ZADD', KEYS[2], ARGV[1], properties.delivery_tag)
    end
    return {number, message}
  end
end
return false
