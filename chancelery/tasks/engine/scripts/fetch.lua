-- Takes the next message off some queues and notes that it is held, in one step: what is on its way to a worker that
-- dies meanwhile is not lost, as it is with BRPOP.
--
-- KEYS[1]  what is held, as kombu has it: hash, delivery tag -> [message, exchange, routing key] as JSON
-- KEYS[2]  since when: sorted set, delivery tag -> seconds since the epoch
-- KEYS[…]  the queues, best first, each followed by its bell
-- ARGV     now, the prefix of jobs ("" when they are elsewhere), then "1" for each queue whose messages are to be
--          acknowledged, or "0"
-- Returns  the number of the queue among these, the message, and 1 when its job was cancelled; nil when all are empty

local function read(message)
  local readable, decoded = pcall(cjson.decode, message)
  return readable and type(decoded) == 'table' and decoded or {}
end

-- What kombu writes at a message's end; to look for it there costs a tenth of reading all of the message.
local function told_at_the_end(message)
  local ending = string.match(message, '.*"properties":%s?({[^\\]*})}$')
  local readable, properties = pcall(cjson.decode, ending or '')
  return readable and properties.delivery_tag and properties
end

-- Whether the job is cancelled of which the message may be a task; it is read if so.
local function is_cancelled(message)
  local job = ARGV[2] ~= '' and string.match(message, '"root_id":%s?"(%x+)"')
  if not job or #job ~= 32 or redis.call('HGET', ARGV[2] .. 'job:' .. job, 'state') ~= 'cancelled' then
    return false
  end
  local headers = read(message).headers
  return type(headers) == 'table' and headers.root_id == job
end

for index = 3, #KEYS, 2 do
  local message = redis.call('RPOP', KEYS[index])
  if message then
    if redis.call('EXISTS', KEYS[index]) == 1 and redis.call('EXISTS', KEYS[index + 1]) == 0 then
      redis.call('LPUSH', KEYS[index + 1], '1')
      redis.call('EXPIRE', KEYS[index + 1], 60)
    end
    local number = (index - 1) / 2
    local properties = ARGV[number + 2] == '1' and (told_at_the_end(message) or read(message).properties)
    if properties then  -- without, kombu says what is wrong with it
      local info = properties.delivery_info
      redis.call('HSET', KEYS[1], properties.delivery_tag, '[' .. message .. ',' ..
        cjson.encode(info.exchange or '') .. ',' .. cjson.encode(info.routing_key or '') .. ']')
      redis.call('ZADD', KEYS[2], ARGV[1], properties.delivery_tag)
    end
    return {number, message, is_cancelled(message) and 1 or 0}
  end
end
return false
