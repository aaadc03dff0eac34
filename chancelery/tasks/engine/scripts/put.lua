-- Puts a message on a queue, and rings for a worker. Does nothing when it did so for the same message a while ago: the
-- answer was lost, and this is a repetition.
--
-- KEYS[1]  the queue, of the message's priority
-- KEYS[2]  the queue's bell: a list of one element that idle workers block on; it need not survive, they look by
--          themselves every second
-- KEYS[3]  the sign that the message was put on the queue
-- KEYS[…]  the queue of each priority, if it expires
-- ARGV     message, milliseconds that an unused queue is kept (0 for ever), seconds that the sign is kept

if not redis.call('SET', KEYS[3], '', 'NX', 'EX', ARGV[3]) then
  return
end
redis.call('LPUSH', KEYS[1], ARGV[1])
if redis.call('EXISTS', KEYS[2]) == 0 then
  redis.call('LPUSH', KEYS[2], '1')
  redis.call('EXPIRE', KEYS[2], 60)
end
if tonumber(ARGV[2]) > 0 then
  for index = 4, #KEYS do
    redis.call('PEXPIRE', KEYS[index], ARGV[2])
  end
end
