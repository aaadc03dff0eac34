-- The ways of a message onto its channel: an ordinary one, by its lane, or a process's mail.

local function drop_expired_heads(queue)
  local head = redis.call('LINDEX', queue.key, 0)
  while head and deadline_of(head) <= now do
    redis.call('LPOP', queue.key)
    queue.length = queue.length - 1
    drop(head, 'expired')
    head = redis.call('LINDEX', queue.key, 0)
  end
end

local function has_room(queue, capacity)
  if not has_length_below(queue, capacity) then
    drop_expired_heads(queue)
    return has_length_below(queue, capacity)
  end
  return true
end

local function send_to_queue(queue, lane, body, ttl, capacity, attempts, lane_capacity)
  local envelope = head_of(ttl, attempts) .. queue.str8 .. STR8[#lane] .. lane .. body
  local has_lane = lane ~= ''
  if has_lane and is_out(lane) then
    local key = prefix .. 'lane:' .. lane
    if redis.call('RPUSH', key, envelope) > lane_capacity then
      redis.call('RPOP', key)
      return false
    end
    return true
  end
  if not has_room(queue, capacity) then
    return false
  end
  if has_lane then
    lanes_out[lane] = true
    lanes_begun[#lanes_begun + 1] = lane
    lanes_begun[#lanes_begun + 1] = OUT
  end
  queue[#queue + 1] = envelope
  return true
end

-- Returns how many entries of a process's mail were dropped and how many were read, ever; nil when it has none.
local function position_of(process)
  local known = redis.call('GET', prefix .. 'position:' .. process)
  if known then
    local dropped, read = string.match(known, '(%d+):(%d+)')
    return tonumber(dropped), tonumber(read)
  end
end

local function keep_position(process, dropped, read)
  redis.call('SET', prefix .. 'position:' .. process, string.format('%.0f:%.0f', dropped, read), 'PX', BACKSTOP_MS)
end

-- What was not read in time takes no room; the reader's position counts from the list's new beginning.
local function drop_expired_mail(box)
  local dropped, read = position_of(box.name)
  local before = dropped or 0
  dropped = before
  local head = redis.call('LINDEX', box.key, 0)
  while head and string.byte(head, 1) == 0x96 and deadline_of(head) <= now do
    redis.call('LPOP', box.key)
    box.length = box.length - 1
    dropped = dropped + 1
    if dropped > (read or 0) then
      account(head, 'expired')
    end
    head = redis.call('LINDEX', box.key, 0)
  end
  if dropped > before then
    keep_position(box.name, dropped, read or 0)
  end
end

-- Whether a process has been ended, and has not learned of it.
local function was_ended(process)
  return redis.call('GET', prefix .. 'reaped:' .. process) == ''
end

local function note_end(process, learned)
  redis.call('SET', prefix .. 'reaped:' .. process, learned and 'learned' or '', 'PX', BACKSTOP_MS)
end

local function send_to_process(process, envelope, capacity)
  local box = list_of(boxes, 'box:', process)
  if not has_length_below(box, capacity) then
    drop_expired_mail(box)
    if not has_length_below(box, capacity) then
      return false
    end
  end
  if box.length + #box == 0 and was_ended(process) then
    if string.byte(envelope, 1) == 0x96 then
      account(envelope, 'process_died')
    end
    return true
  end
  box[#box + 1] = envelope
  return true
end

-- Puts a message onto a channel of any kind. Returns false when that is full; nothing was stored then.
-- terms: the channel's capacity, plus how often its messages may be begun times ATTEMPTS_UNIT.
local function store(channel, lane, body, ttl, terms, lane_capacity)
  local queue = queues[channel]
  local process = not queue and process_of(channel)
  local attempts, taken = 0, nil
  if terms >= ATTEMPTS_UNIT then
    attempts = math.floor(terms / ATTEMPTS_UNIT)
    terms = terms - attempts * ATTEMPTS_UNIT
  end
  if process then
    taken = send_to_process(process, seal(channel, body, ttl), terms)
  else
    queue = queue or list_of(queues, 'ready:', channel)
    taken = send_to_queue(queue, lane, body, ttl, terms, attempts, lane_capacity)
    queue.sent = queue.sent + (taken and 1 or 0)
  end
  if taken and process then
    count('messages_count')
  end
  return taken
end

local function count_refusal(channel)
  if process_of(channel) then
    count('channel_full_count')
  else
    local queue = list_of(queues, 'ready:', channel)
    queue.full = queue.full + 1
  end
end

-- As store, for a sender who is told when there is no room; that is counted.
local function send_to_channel(channel, lane, body, ttl, terms, lane_capacity)
  local taken = store(channel, lane, body, ttl, terms, lane_capacity)
  if not taken then
    count_refusal(channel)
  end
  return taken
end
