-- Forgets messages that have been dealt with, and takes the next off some queues, noting that it is held, in one step:
-- what is on its way to a worker that dies meanwhile is not lost, as it is with BRPOP.
--
-- KEYS[1]  what is held, as kombu has it: hash, delivery tag -> [message, exchange, routing key] as JSON
-- KEYS[2]  since when: sorted set, delivery tag -> seconds since the epoch
-- KEYS[…]  the queues, best first, each followed by its bell; none when nothing is to be taken
-- ARGV     now, the prefix of jobs ("" when they are elsewhere), then "1" for each queue whose messages are to be
--          acknowledged, or "0", then the delivery tags of what has been dealt with
-- Returns  the number of the queue among these, the message, 1 if there are more or 0, and if it may be a task of a job
--          which is there: the job's id, its state, terms and message; nil when all are empty

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

-- What a task of the job needs, if the message is one; its headers, which are not read here, say whether it is.
local function add_job(found, message)
  local job = ARGV[2] ~= '' and string.match(message, '"root_id":%s?"(%x+)"')
  local fields = job and #job == 32 and redis.call('HMGET', ARGV[2] .. 'job:' .. job, 'state', 'terms', 'message')
  if fields and fields[1] then
    found[4], found[5], found[6], found[7] = job, fields[1], fields[2], fields[3]
  end
end

local function note(message, properties)
  local tag, info = properties.delivery_tag, properties.delivery_info
  redis.call('HSET', KEYS[1], tag, '[' .. message .. ',' .. cjson.encode(info.exchange or '') .. ',' ..
    cjson.encode(info.routing_key or '') .. ']')
  redis.call('ZADD', KEYS[2], ARGV[1], tag)
end

local function ring(bell)
  if redis.call('EXISTS', bell) == 0 then
    redis.call('LPUSH', bell, '1')
    redis.call('EXPIRE', bell, 60)
  end
end

local count = #KEYS / 2 - 1
if #ARGV > count + 2 then
  redis.call('HDEL', KEYS[1], unpack(ARGV, count + 3))
  redis.call('ZREM', KEYS[2], unpack(ARGV, count + 3))
end
if count == 0 then
  return nil
end
local queues, numbers = {}, {}
for number = 1, count do
  queues[number] = KEYS[number * 2 + 1]
  numbers[queues[number]] = number
end
queues[count + 1], queues[count + 2] = 'RIGHT', 'COUNT'
queues[count + 3] = 1
local found = redis.call('LMPOP', count, unpack(queues))
if not found then
  return nil
end
local number, message = numbers[found[1]], found[2][1]
local taken = {number, message, 0}
local properties = ARGV[number + 2] == '1' and (told_at_the_end(message) or read(message).properties)
if properties then  -- without, kombu says what is wrong with it
  note(message, properties)
end
add_job(taken, message)
if redis.call('EXISTS', unpack(queues, number, count)) > 0 then
  taken[3] = 1
  for left = number, count do
    if redis.call('EXISTS', queues[left]) == 1 then
      ring(KEYS[left * 2 + 2])
    end
  end
end
return taken
