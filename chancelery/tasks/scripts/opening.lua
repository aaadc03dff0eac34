-- Publishes what a job begins with, in the script that records it: no crash comes between the two. Comes after
-- keeping.lua.
--
-- An opening is msgpack {clock ("" for Redis' own), entries}, and an entry one of
--   {"put", {key of the queue, key of its bell, …, the queue's key of each priority from the fourth on},
--     {message, ms that an unused queue is kept (0 for ever), …}}, see chancelery/tasks/engine/scripts/put.lua
--   {"keep", what keep_task takes from the task on}
--   {"publishing", job}, if others are published by somebody else, who says then that they were
--   {"set", key, value, seconds that it is kept (0 for ever)}
--   {"release", key of a chord's claim, token, seconds that it is noted as done, keys that are needed no more}

local OPENS = {
  put = function(_, _, keys, args)
    publish(keys[1], keys[2], args[1])
    if args[2] > 0 then
      for index = 4, #keys do
        redis.call('PEXPIRE', keys[index], args[2])
      end
    end
  end,
  keep = function(jobs, at, ...)
    keep_task(jobs, at, ...)
  end,
  publishing = function(jobs, at, id)
    watch_publishing(jobs, id, at)
  end,
  set = function(_, _, key, value, seconds)
    redis.call('SET', key, value)
    if seconds > 0 then
      redis.call('EXPIRE', key, seconds)
    end
  end,
  release = function(_, _, claim, token, seconds, keys)
    if redis.call('GET', claim) == token then
      redis.call('DEL', unpack(keys))
      redis.call('SET', claim, 'done', 'EX', whole(seconds))
    end
  end,
}

local function open_with(jobs, id, packed, is_limited)
  local opening = cmsgpack.unpack(packed)
  local at = clock_ms(opening[1])
  for _, entry in ipairs(opening[2]) do
    OPENS[entry[1]](jobs, at, unpack(entry, 2))
  end
  if is_limited then
    ask_for_turn(jobs, id, at)
  end
end
