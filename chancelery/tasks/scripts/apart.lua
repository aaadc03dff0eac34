-- Results that are too large for a frame: kept apart from the job's events, which say where they are to be had.
--
-- Key: job:<id>:result, the result as JSON, for as long as the record is kept after the job's end

-- The size of the result that a job ends with when this one of its tasks is done; 0 when it is not the last.
local function size_with(job, json)
  if not job.grouped then
    return #json
  elseif job.left ~= 1 then
    return 0
  end
  local parts, size = redis.call('HGETALL', job.key .. ':parts'), #json + 2
  for position = 1, #parts, 2 do
    if string.sub(parts[position], 1, 1) ~= '=' then
      size = size + #parts[position + 1] + 1
    end
  end
  return size
end

-- Whether the job's result is to be kept apart, and nobody has said where it would be had.
local function lacks_address(job, json, address, most)
  if job.style == 'message' or address ~= '' or most == 0 then
    return false
  end
  local size = size_with(job, json)
  return size > job.max_bytes and size <= most
end

-- Keeps a result apart, and returns the event that says so.
local function kept_apart(job, json, address, event)
  redis.call('SET', job.key .. ':result', json, 'EX', job.ended_seconds)
  event.json, event.apart = 'null', ',"at":' .. cjson.encode(address) .. ',"bytes":' .. #json
  event.packed = string.char(0xc0)
  event.more = {'at', address, 'bytes', #json}
  return event
end
