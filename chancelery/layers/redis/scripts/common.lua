-- What all of the layer's scripts begin with: the clock, counters, names and envelopes. In order, each on what stands
-- before it: common, lists (what is written, gathered), sending, groups, endings; and delays, for those who need it.
--
-- Keys, all under the layer's prefix:
--   ready:<channel>            list    envelopes that wait to be fetched
--   lanes                      hash    the lanes that have a message out (waiting, or in a lease)
--   lane:<lane>                list    envelopes that wait behind the one that is out
--   lease:<lease>              hash    id -> envelope, of what was fetched and not finished; "begun" -> the last id that
--                                      counts as begun, and with it all before it; "recovered" -> what was to be handed
--                                      out with lower ids has been given up by the worker
--   leases                     zset    lease -> when it runs out
--   ended:<lease>              string  there once a reaper has ended it
--   box:<process>              list    mail: envelopes and control messages
--   position:<process>         string  how many entries of the box were dropped, ever; ":"; how many were read, ever
--   control:<process>          string  the number of the last control message
--   group:<group>              zset    member -> when its membership expires (the truth)
--   group-processes:<group>    hash    process -> number of its members
--   group-direct:<group>       hash    member that is not process-local -> its capacity
--   process-capacities         hash    process -> how much mail it may have, where that is not the usual
--   process-groups:<process>   set     groups in which the process has members
--   processes                  zset    process that left a will -> when it counts as dead, unless it reads its mail
--   wills:<process>            hash    lane -> attempts (a byte), channel and body of what is sent when the process dies
--   reaped:<process>           string  there for a day from its end on; empty until it, back from the dead, has learned
--   bell:<channel or process>  list    tokens on which readers block; never messages. "@delayed" is for who moves these
--   singles                    zset    single-reader channel (with a "?") -> when to look there for what has expired
--   counters                   hash    sent:<channel> and full:<channel> of ordinary channels, messages_count and
--                                      channel_full_count of all others, dropped:<reason>
--   drops                      list    reason, a zero byte and the envelope, of a few messages that were dropped: for the
--                                      log of whoever asks next
--   delayed                    zset    id of a message that waits for its time -> when that is
--   delayed-messages           hash    id -> the message, see delays.lua; "last" -> the last number in an id
--   paced:<id>                 string  when the next may go out of what goes out at most so often
--   dead                       stream  dead letters: reason, at (milliseconds), envelope
--
-- An envelope is msgpack [version, term, channel, lane, content, trail] with a head of fixed form, see
-- chancelery/layers/codec.py: byte 2 is the version; byte 4 how often the message may be begun (0: at most once); byte 5
-- how often it was begun and lost; bytes 6 to 11 the deadline; byte 13 the channel's length.

local VERSION = 1
local BACKSTOP_MS = 86400000
local USUAL_DEAD_LETTERS = 1000
local ATTEMPTS_UNIT = 4294967296
local prefix, lanes_key, now, most_dead
local counts, heads, queues, boxes, records, lanes_out, lanes_begun
local STR8 = {}
for length = 0, 255 do
  STR8[length] = ('').char(0xd9, length)
end

-- What every script begins with. These variables outlive a call: what one that failed left behind is dropped here.
local function begin(layer_prefix, clock, dead_letters)
  counts, heads, queues, boxes, records, lanes_out, lanes_begun = {}, {}, {}, {}, {}, {}, {}
  prefix = layer_prefix
  most_dead = tonumber(dead_letters or USUAL_DEAD_LETTERS)
  lanes_key = prefix .. 'lanes'
  if clock == '' then
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  else
    now = tonumber(clock)
  end
end

local function count(field, number)
  counts[field] = (counts[field] or 0) + (number or 1)
end

local function str8(text)
  return STR8[#text] .. text
end

-- Everything of an envelope before the channel's name.
local function head_of(ttl, attempts)
  local head = heads[attempts]
  if not head then
    head = string.char(0x96, VERSION, 0xcf, attempts, 0) .. struct.pack('>I6', now + ttl)
    heads[attempts] = head
  end
  return head
end

local function seal(channel, body, ttl)
  return head_of(ttl, 0) .. str8(channel) .. '\217\0' .. body
end

local function deadline_of(envelope)
  local a, b, c, d, e, f = string.byte(envelope, 6, 11)
  return ((((a * 256 + b) * 256 + c) * 256 + d) * 256 + e) * 256 + f
end

local function attempts_of(envelope)
  return string.byte(envelope, 4)
end

-- The same message with another term: how often it was lost, and its deadline (the one it has, unless one is given).
local function with_term(envelope, lost, deadline)
  local ending = deadline and struct.pack('>I6', deadline) or string.sub(envelope, 6, 11)
  return string.sub(envelope, 1, 4) .. string.char(lost) .. ending .. string.sub(envelope, 12)
end

local function address_of(envelope)
  local length = string.byte(envelope, 13)
  local lane_length = string.byte(envelope, 15 + length)
  return string.sub(envelope, 14, 13 + length), string.sub(envelope, 16 + length, 15 + length + lane_length)
end

local function process_of(channel)
  local mark = string.find(channel, '!', 1, true)
  return mark and string.sub(channel, 1, mark)
end
