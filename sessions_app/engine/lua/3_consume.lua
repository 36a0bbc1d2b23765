-- consume: judges one request against all its limits and commits all or none, in one atomic step (rules 2.6-2.8, 4.2).
-- peek:    the same judgement without any write.
--
-- KEYS  1 gateway version, 2 organisation version, 3 key version, 4 outbox stream, 5 dirty set, 6 hourly usage,
--       7 touched hours, 8.. distinct counters
-- ARGV  1 now in ms (0: the store's clock), 2 cost, 3 lenient (1: a missing quota counter is a fresh one; peek only),
--       4 credential expires at in ms (0: never), 5-7 versions that the grant was compiled from ("": not compared),
--       8 usage subject "<org>|<key>|<api>", 9 event context, 10.. limits (1_periods.lua)
-- RETURN integers; status first, then now
--       0 JUDGED, now, admitted, crossed, then four per limit in ARGV order:
--           quota: allowed, used, period start (0: none runs), period end (0: never, or none runs)
--           rate:  allowed, previous window, current window, window start
--       1 STALE, now      the grant is older than the store's versions, or the store does not know them
--       2 MISSING, now, places of the quota limits (from 0) whose counter does not exist
--       3 OUTDATED, now   a calendar period lies outside the given boundaries
--       4 EXPIRED, now
-- GUARANTEE  A denial writes nothing but the hourly count of denials. Every threshold reached and not yet fired in this
--       period is marked and appended to the outbox in the same step (rules 7.3, 7.4). A version newer than the store's
--       is taken over.

local JUDGED, STALE, MISSING, OUTDATED, EXPIRED = 0, 1, 2, 3, 4
local FIRST_COUNTER, FIRST_LIMIT = 8, 10

-- True if the grant is stale; else the places of versions that the store has yet to learn.
local function compare_versions(keys, argv)
  if argv[5] == '' then return false, {} end
  local stored = redis.call('MGET', keys[1], keys[2], keys[3])
  local newer = {}
  for i = 1, 3 do
    local known, given = tonumber(stored[i]), tonumber(argv[4 + i])
    if not known or known > given then return true, newer end
    if known < given then newer[#newer + 1] = i end
  end
  return false, newer
end

local function read_counters(keys)
  local counters = {}
  for i = FIRST_COUNTER, #keys do counters[#counters + 1] = read_counter(keys[i]) end
  return counters
end

local function places_missing(limits, counters)
  local reply = {}
  for i, limit in ipairs(limits) do
    if limit.is_quota and not counters[limit.counter].used then reply[#reply + 1] = i - 1 end
  end
  return reply
end

local function judge_quota(limit, counter, now, cost)
  local used = period_runs(limit, counter, now) and counter.used or 0
  return used + cost <= limit.max
end

local function judge_rate(limit, counter, now, cost)
  limit.asked = window_of(counter, limit.window, now)
  return usage_in(limit.asked, now) + cost <= limit.max
end

local function judge_all(limits, counters, now, cost)
  local admitted = true
  for _, limit in ipairs(limits) do
    local judge = limit.is_quota and judge_quota or judge_rate
    limit.allowed = judge(limit, counters[limit.counter], now, cost)
    admitted = admitted and limit.allowed
  end
  return admitted
end

local function append_event(limit, counter, at, now, keys, argv)
  redis.call('XADD', keys[4], '*', 'kind', limit.kind, 'counter', counter.key, 'start', digits(counter.start),
    'end', digits(period_end(limit, counter.start)), 'threshold', argv[at], 'own', argv[at + 2], 'source', limit.source,
    'used', digits(counter.used), 'max', digits(limit.max), 'at', digits(now), 'ctx', argv[9])
end

-- Thresholds come in ascending order. Returns how many fired.
local function fire_thresholds(limit, counter, now, keys, argv)
  local fired = 0
  for at = limit.thresholds_at, limit.thresholds_at + 3 * (limit.thresholds - 1), 3 do
    if tonumber(argv[at + 1]) > counter.used then break end
    local token = ';' .. limit.mark .. ':' .. argv[at]
    if not string.find(counter.fired .. ';', token .. ';', 1, true) then
      counter.fired = counter.fired .. token
      append_event(limit, counter, at, now, keys, argv)
      fired = fired + 1
    end
  end
  if fired > 0 then stage(counter, 'f', counter.fired) end
  return fired
end

local function commit_quota(limit, counter, now, cost, keys, argv)
  if not period_runs(limit, counter, now) then begin_period(counter, now) end
  counter.used = counter.used + cost
  stage(counter, 'u', digits(counter.used))
  live_for_period(counter, limit, now)
  return fire_thresholds(limit, counter, now, keys, argv)
end

local function commit_all(limits, counters, now, cost, keys, argv)
  local crossed, touched = 0, {}
  for _, limit in ipairs(limits) do
    local counter = counters[limit.counter]
    if limit.is_quota then
      crossed = crossed + commit_quota(limit, counter, now, cost, keys, argv)
      touched[#touched + 1] = counter.key
    else
      count_in_windows(counter, limit.asked, now, cost)
    end
  end
  for _, counter in ipairs(counters) do settle(counter, now) end
  if #touched > 0 then redis.call('SADD', keys[5], unpack(touched)) end
  return crossed
end

-- The epoch tells the worker that the hash was created anew, so that counts before a loss are not overwritten.
local function count_hour(keys, argv, now, cost, admitted)
  local stem = digits(math.floor(now / 3600000)) .. '|' .. argv[8]
  if redis.call('HINCRBY', keys[6], stem .. (admitted and '|p' or '|d'), cost) == cost then
    redis.call('HSETNX', keys[6], 'epoch', digits(now))
  end
  redis.call('SADD', keys[7], stem)
end

local function describe(reply, limit, counter, now)
  local at = #reply
  reply[at + 1] = limit.allowed and 1 or 0
  if limit.is_quota then
    local runs = period_runs(limit, counter, now)
    reply[at + 2] = runs and counter.used or 0
    reply[at + 3] = runs and counter.start or 0
    reply[at + 4] = period_end(limit, reply[at + 3])
  else
    local window = limit.asked
    reply[at + 2], reply[at + 3], reply[at + 4] = window.previous, window.current, window.index * window.length
  end
end

-- Everything up to the writes. Returns the reply if there is nothing to commit, else the parsed request.
local function prepare(keys, argv, now)
  if tonumber(argv[4]) > 0 and now >= tonumber(argv[4]) then return {EXPIRED, now} end
  local limits, outdated = parse_limits(argv, FIRST_LIMIT, now)
  if outdated then return {OUTDATED, now} end
  local counters = read_counters(keys)
  local missing = places_missing(limits, counters)
  if #missing > 0 and argv[3] == '0' then return {MISSING, now, unpack(missing)} end
  for _, place in ipairs(missing) do counters[limits[place + 1].counter].used = 0 end
  return nil, limits, counters
end

local function answer(limits, counters, now, admitted, crossed)
  local reply = {JUDGED, now, admitted and 1 or 0, crossed}
  for _, limit in ipairs(limits) do describe(reply, limit, counters[limit.counter], now) end
  return reply
end

local function consume(keys, argv)
  local now, cost = clock(argv[1]), tonumber(argv[2])
  local stale, newer = compare_versions(keys, argv)
  if stale then return {STALE, now} end
  for _, i in ipairs(newer) do redis.call('SET', keys[i], argv[4 + i]) end
  local reply, limits, counters = prepare(keys, argv, now)
  if reply then return reply end
  local admitted = judge_all(limits, counters, now, cost)
  local crossed = admitted and commit_all(limits, counters, now, cost, keys, argv) or 0
  count_hour(keys, argv, now, cost, admitted)
  return answer(limits, counters, now, admitted, crossed)
end

local function peek(keys, argv)
  local now = clock(argv[1])
  if compare_versions(keys, argv) then return {STALE, now} end
  local reply, limits, counters = prepare(keys, argv, now)
  if reply then return reply end
  return answer(limits, counters, now, judge_all(limits, counters, now, tonumber(argv[2])), 0)
end

redis.register_function(LIBRARY .. '_consume', consume)
redis.register_function{function_name = LIBRARY .. '_peek', callback = peek, flags = {'no-writes'}}
