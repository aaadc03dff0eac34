-- Counts a part of a chord, in the script that settles it. As CHORD_PART_RETURN_LUA of celery.backends.redis 5.7, but for
-- the last part, which Celery itself counts, for it publishes the body then. Comes after jobs.lua.
--
-- A part is msgpack {Celery's keys: of the results, of what was added to the size, of the size, of who was counted, of
-- the group, of the claim to the body; who is counted; its place; its result; whether results are in order ("1" or "0");
-- seconds that results are kept (0 for ever), and the group (0 if it is not there)}

-- Returns true if the part is the last one; it was not counted then.
local function is_last_part(packed)
  local keys, member, place, result, in_order, kept, group_kept = unpack(cmsgpack.unpack(packed))
  local results, added, size, counted, group, claim = unpack(keys)
  if redis.call('GET', claim) == 'done' then
    return false
  end
  local is_new = redis.call('SISMEMBER', counted, member) == 0
  local ready = redis.call(in_order == '1' and 'ZCARD' or 'LLEN', results) + (is_new and 1 or 0)
  local parts = redis.call('GET', size)
  if parts and ready == tonumber(parts) + tonumber(redis.call('GET', added) or 0) then
    return true
  end
  if is_new then
    if in_order == '1' then
      redis.call('ZADD', results, place, result)
    else
      redis.call('RPUSH', results, result)
    end
    redis.call('SADD', counted, member)
  end
  if kept > 0 then
    for _, key in ipairs({results, added, size, counted}) do
      redis.call('EXPIRE', key, whole(kept))
    end
    if group_kept > 0 then
      redis.call('EXPIRE', group, whole(group_kept))
    end
  end
  return false
end
