-- Attaches one more caller to a job that goes on: it is told what the job has said, and whatever it says from now on.

local MOST_CALLERS, MOST_TOLD = 1000, 200

local function is_told(addresses, reply)
  for _, known in ipairs(addresses) do
    if known[1] == reply[1] and known[2] == reply[2] and (known[4] or '') == (reply[4] or '') then
      return true
    end
  end
  return false
end

-- Tells one address what has been said. entries: of the stream of events, the latest first.
local function tell_again(job, reply, entries, cause)
  local function say(seq, kind, json, apart)
    send_event(job, reply[1], reply[2], reply[3], frame_of(job, seq, {kind = kind, json = json, apart = apart}, nil, reply[4]), cause)
  end
  for index = #entries, 1, -1 do
    local seq, fields = tonumber(string.match(entries[index][1], '^%d+')), entries[index][2]
    if index == #entries and seq > 1 then -- the events before are not kept, or too many
      say(seq - 1, 'snapshot', snapshot_of(job))
    end
    say(seq, fields[2], fields[4], fields[10])
  end
end

local function attach(job, replies, sender, process)
  local more, entries = job.more or {}, {}
  if job.style ~= 'message' then
    entries = redis.call('XREVRANGE', job.key .. ':events', '+', '-', 'COUNT', MOST_TOLD)
  end
  for _, reply in ipairs(replies) do
    local known = is_told(job.replies, reply) or is_told(more, reply)
    if not known then
      more[#more + 1] = reply
    end
    if reply[1] == 'socket' or (reply[1] == 'group' and not known) then
      tell_again(job, reply, entries, {kind = 'attached', sender = sender, process = process})
    end
  end
  while #more > MOST_CALLERS do
    table.remove(more, 1)
  end
  set(job, 'more', cmsgpack.pack(more))
end
