// The functions that a fleet's counters run on the server, Valkey or Redis, as the text that is loaded there.
//
// They decide for all nodes, so they decide by the server's clock, and a call is one step: nothing happens between its
// records. Names carry the hash of the text: two versions of this program beside each other each find their own, and a
// library that is there is the right one. States outlive them: what reads a state
// that it does not know starts anew.
//
// Words of a record, of a reply and of a state are doubles: microseconds since 2026 are exact in them until 2311.

import { createHash } from 'node:crypto';

/** Of the records in front of the first: the birth that is known. */
export const KNOWN_BYTES = 8;
/** Bytes of a record: eight doubles. */
const RECORD_BYTES = 64;
/** Of a reply: of the call, and of each record. */
const REPLY_HEAD_BYTES = 16;
const REPLY_RECORD_BYTES = 24;

/** `NAME` stands for what tells this text from others. */
const TEXT = `
local EPOCH_S = 1767225600 -- 2026-01-01T00:00:00Z
local RECORD, RECORD_BYTES = '<dddddddd', 64
-- Sums of doubles are off by so much at most; the clock's grain is coarser.
local ROUNDING = 1 + 2 ^ -50
-- Of a count of a window.
local MOST = 4294967295

local function clock()
  local time = redis.call('TIME')
  return (tonumber(time[1]) - EPOCH_S) * 1000000 + tonumber(time[2])
end

-- Of the process that runs this: another one may have forgotten what was counted last, whether it started again from a
-- snapshot, is a replica that took over, or was given the slot.
local run_id

-- Since when the server remembers everything, negative when there was something before that it forgot. Kept with the
-- counters, so that they go together, and nodes that come later are told as well. known: what the caller was told.
local function birth(key, now, known)
  run_id = run_id or string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local text = redis.call('GET', key)
  local born, lost, whose = now, known > 0 and 1 or 0, nil
  if text and #text > 16 then
    born, lost = struct.unpack('<dd', text)
    whose = string.sub(text, 17)
    if whose ~= run_id then
      born, lost, whose = now, 1, nil
    elseif known > 0 and known < born and lost == 0 then
      lost, whose = 1, nil
    end
  end
  if not whose then redis.call('SET', key, struct.pack('<dd', born, lost) .. run_id) end
  return born, lost == 1 and -born or born
end

-- GCRA: the moment when all that was spent has come back, in whole microseconds and the rest, so that adding a million
-- times loses nothing.
local gcra = { state = '<ddd' }

function gcra.read(text, now, _, longest)
  local s = { whole = now, part = 0, penalty_ends = 0 }
  if text and #text == 24 then
    local whole, part, penalty_ends = struct.unpack(gcra.state, text)
    s.penalty_ends = penalty_ends
    -- Further than it can be: the server's clock went back.
    if whole - now > longest then whole, part = now + longest, 0 end
    if whole >= now then s.whole, s.part = whole, part end
  end
  return s
end

function gcra.write(s) return struct.pack(gcra.state, s.whole, s.part, s.penalty_ends) end

local function backlog(s, now) return s.whole - now + s.part end

function gcra.spend(s, now, t, cost)
  local sum = s.part + cost * t
  local full = math.floor(sum)
  s.whole, s.part = s.whole + full, sum - full
  if s.whole < now then s.whole, s.part = now, 0 end
end

-- What has come back by itself since it was taken is not given back again.
function gcra.give_back(s, now, t, cost, at)
  local back = cost * t - math.max(0, now - at)
  if back > 0 then gcra.spend(s, now, t, -back / t) end
end

-- Until so much more can be spent; nil: never.
function gcra.wait(s, now, t, tolerance, cost)
  local over = backlog(s, now) + cost * t
  if over <= tolerance * ROUNDING then return 0 end
  if cost * t > tolerance * ROUNDING then return nil end
  return math.max(1, over - tolerance)
end

function gcra.beyond(s, now, t, tolerance)
  local all = backlog(s, now)
  local over, rounding = all - tolerance, all * (ROUNDING - 1)
  if over <= rounding then return 0, 0 end
  return math.max(1, over), math.ceil((over - rounding) / t)
end

function gcra.free(s, now, t, tolerance)
  local left = tolerance - backlog(s, now)
  local units = math.max(0, math.floor(left / t))
  if left >= 0 and gcra.wait(s, now, t, tolerance, units + 1) == 0 then units = units + 1 end
  return units
end

function gcra.reset(s, now) return backlog(s, now) end

-- Sliding window: how much was spent in each eighth of the period; the ninth back counts whole until it has left.
local window = { state = '<dddI4I4I4I4I4I4I4I4I4' }

local function advance(s, eighth)
  local by = eighth - s.newest
  if by <= 0 then return end
  for i = 1, 9 do s[i] = s[i + by] or 0 end
  s.newest = eighth
end

local function total(s, from)
  local sum = 0
  for i = from, 9 do sum = sum + s[i] end
  return sum
end

function window.read(text, now, t, longest)
  local current = math.floor(now / t)
  local s = { t = t, newest = current, penalty_ends = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
  if not text or #text ~= 60 then return s end
  local was = { struct.unpack(window.state, text) }
  s.penalty_ends = was[3]
  for i = 1, 9 do s[i] = was[3 + i] end
  if was[1] ~= t then
    -- By another period: all of it counts as of now, so that nothing is forgotten while two are in force.
    if (was[2] + 9) * was[1] > now then
      local sum = math.min(MOST, total(s, 1))
      for i = 1, 8 do s[i] = 0 end
      s[9] = sum
    else
      for i = 1, 9 do s[i] = 0 end
    end
    return s
  end
  -- Further ahead than it can be: the server's clock went back.
  if was[2] * t - now > longest then return s end
  s.newest = was[2]
  advance(s, current)
  return s
end

function window.write(s)
  return struct.pack(window.state, s.t, s.newest, s.penalty_ends, s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9])
end

function window.spend(s, now, t, cost, wait)
  advance(s, math.floor((now + (wait or 0)) / t))
  s[9] = math.min(MOST, s[9] + cost)
end

-- Where it was taken, by the server's clock.
function window.give_back(s, _, t, cost, at)
  local i = 9 - (s.newest - math.floor(at / t))
  if i >= 1 and i <= 9 then s[i] = math.max(0, s[i] - cost) end
end

-- Spending into the future waits behind those who do so already.
function window.wait(s, now, _, amount, cost)
  if cost > amount then return nil end
  local ahead = s.newest * s.t - now
  for gone = 0, 9 do
    if total(s, gone + 1) + cost <= amount then
      if gone == 0 then return math.max(0, ahead) end
      return ahead + gone * s.t
    end
  end
end

function window.beyond(s, now, _, amount)
  local over = total(s, 1) - amount
  if over <= 0 then return 0, 0 end
  return window.wait(s, now, s.t, amount, 0), over
end

function window.free(s, _, _, amount) return math.max(0, amount - total(s, 1)) end

function window.reset(s, now)
  for i = 9, 1, -1 do
    if s[i] > 0 then return (s.newest - (9 - i) + 9) * s.t - now end
  end
  -- What was given back of the future leaves its place empty: what lies too far before it is forgotten already.
  return math.max(0, s.newest * s.t - now)
end

-- Puts a state back: as long as it says something, and never longer than it may live.
local function keep(algorithm, key, s, now, longest, existed)
  local us = math.min(longest, math.max(algorithm.reset(s, now), s.penalty_ends - now))
  if us > 0 then
    redis.call('SET', key, algorithm.write(s), 'PX', math.ceil(us / 1000))
  elseif existed then
    redis.call('DEL', key)
  end
end

local function penalty_left(s, now, longest) return math.max(0, math.min(s.penalty_ends - now, longest)) end

local TAKE, PEEK, SPEND, GIVE_BACK, RESET, SETTLE = 1, 2, 3, 4, 5, 6

local function take(action, algorithm, s, now, t, tolerance, cost, penalty, longest, longest_delay)
  local left = penalty_left(s, now, longest)
  if left > 0 then return false, -left end
  local wait = algorithm.wait(s, now, t, tolerance, cost)
  if wait and wait <= longest_delay then
    if action == TAKE then algorithm.spend(s, now, t, cost, wait) end
    return action == TAKE, wait
  end
  if penalty > 0 then
    s.penalty_ends = now + penalty
    return true, -penalty
  end
  -- What can never fit may be asked again when all has come back.
  return false, wait or math.max(1, algorithm.reset(s, now))
end

local function spend(algorithm, s, now, t, tolerance, cost, penalty, longest)
  algorithm.spend(s, now, t, cost)
  local over = algorithm.beyond(s, now, t, tolerance)
  local left = penalty_left(s, now, longest)
  if left == 0 and over > 0 and penalty > 0 then
    s.penalty_ends, left = now + penalty, penalty
  end
  return true, left > 0 and -left or over
end

-- What a node has spent; then what it may spend until it comes again.
local function settle(algorithm, s, now, t, tolerance, spent, longest, want, penalty)
  if spent > 0 then algorithm.spend(s, now, t, spent) end
  local left = penalty_left(s, now, longest)
  if left == 0 and penalty > 0 then
    s.penalty_ends, left = now + penalty, penalty
  end
  local granted = 0
  if left == 0 then
    granted = math.min(want, algorithm.free(s, now, t, tolerance))
    if granted > 0 then algorithm.spend(s, now, t, granted) end
  end
  local _, over = algorithm.beyond(s, now, t, tolerance)
  if over == 0 then over = -algorithm.free(s, now, t, tolerance) end
  if left > 0 then return granted, over, -left end
  return granted, over, algorithm.wait(s, now, t, tolerance, 1) or math.max(1, algorithm.reset(s, now))
end

local KINDS = {
  [1] = { TAKE, gcra }, [2] = { TAKE, window }, [3] = { PEEK, gcra }, [4] = { PEEK, window },
  [5] = { SPEND, gcra }, [6] = { SPEND, window }, [7] = { GIVE_BACK, gcra }, [8] = { GIVE_BACK, window },
  [9] = { RESET }, [20] = { SETTLE, gcra }, [21] = { SETTLE, window },
}

local function answer(action, algorithm, key, now, born, t, tolerance, c, d, longest, a, b)
  -- Told: whether there was something.
  if action == RESET then return 0, redis.call('DEL', key), 0 end
  local text = redis.call('GET', key)
  local s = algorithm.read(text, now, t, longest)
  if action == SETTLE then
    local granted, over, retry = settle(algorithm, s, now, t, tolerance, c, longest, a, b)
    keep(algorithm, key, s, now, longest, text)
    return granted, over, retry
  end
  local changed, verdict = true, 0
  if action == SPEND then
    changed, verdict = spend(algorithm, s, now, t, tolerance, c, d, longest)
  elseif action == GIVE_BACK then
    -- What was taken before the birth is forgotten already.
    changed = a >= born
    if changed then algorithm.give_back(s, now, t, c, a) end
  else
    changed, verdict = take(action, algorithm, s, now, t, tolerance, c, d, longest, a)
  end
  if changed then keep(algorithm, key, s, now, longest, text) end
  local left = penalty_left(s, now, longest)
  if left > 0 then return verdict, 0, left end
  return verdict, algorithm.free(s, now, t, tolerance), algorithm.reset(s, now)
end

-- Amounts and times: anything else would spoil a state for good. What is no number is not below anything.
local function sound(kind, t, tolerance, c, d, ttl_ms, a, b)
  local huge = math.huge
  return KINDS[kind] and (t > 0 or kind == 9) and t < huge and tolerance >= 0 and tolerance < huge
    and c >= 0 and c < huge and d >= 0 and d < huge and ttl_ms >= 0 and ttl_ms < huge
    and a >= 0 and a < huge and b >= 0 and b < huge
end

local function each(keys, args)
  local records = args[1] or ''
  if #records ~= 8 + (#keys - 1) * RECORD_BYTES then
    return redis.error_reply('ERR portcullis: ' .. #records .. ' bytes of records for ' .. #keys - 1 .. ' keys')
  end
  for i = 1, #keys - 1 do
    if not sound(struct.unpack(RECORD, records, (i - 1) * RECORD_BYTES + 9)) then
      return redis.error_reply('ERR portcullis: record ' .. i .. ' cannot be meant')
    end
  end
  local now = clock()
  local born, told = birth(keys[1], now, struct.unpack('<d', records))
  local reply = { struct.pack('<dd', now, told) }
  for i = 1, #keys - 1 do
    local kind, t, tolerance, c, d, ttl_ms, a, b = struct.unpack(RECORD, records, (i - 1) * RECORD_BYTES + 9)
    local action, algorithm = KINDS[kind][1], KINDS[kind][2]
    reply[i + 1] = struct.pack('<ddd',
      answer(action, algorithm, keys[i + 1], now, born, t, tolerance, c, d, ttl_ms * 1000, a, b))
  end
  return table.concat(reply)
end

-- Who else counts here: each node says so as long as it lives.
local function node(keys, args)
  local now = clock()
  local key, name, gone_us = keys[1], args[1], tonumber(args[2]) * 1000
  redis.call('ZADD', key, string.format('%.0f', now), name)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - gone_us))
  redis.call('PEXPIRE', key, string.format('%d', args[2]))
  return redis.call('ZCARD', key)
end

redis.register_function('portcullis_records_NAME', each)
redis.register_function('portcullis_node_NAME', node)
`;

const HASH = createHash('sha256').update(TEXT).digest('hex').slice(0, 12);

/** The library as `FUNCTION LOAD` takes it. */
export const LIBRARY = `#!lua name=portcullis_${HASH}\n${TEXT.replaceAll('NAME', HASH)}`;
/** Takes `[birth, ...counters]` and records; the functions `portcullis_take` and `portcullis_settle` are one. */
export const RECORDS = `portcullis_records_${HASH}`;
/** Takes `[nodes]`, a node's name, and after how many ms of silence it is gone; answers how many there are. */
export const NODE = `portcullis_node_${HASH}`;

/** Records that are one, which says nothing but its kind. */
export function recordOf(kind: number): Buffer {
  const records = Buffer.alloc(KNOWN_BYTES + RECORD_BYTES);
  records.writeDoubleLE(kind, KNOWN_BYTES);
  return records;
}

/** Of the reply to a record that resets: whether there was something. */
export function wasThere(reply: Buffer): boolean {
  return reply.length === REPLY_HEAD_BYTES + REPLY_RECORD_BYTES && reply.readDoubleLE(REPLY_HEAD_BYTES + 8) > 0;
}
