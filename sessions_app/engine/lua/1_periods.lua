-- What a limit is when it arrives in ARGV, and when a quota's period begins and ends (section 2).
--
--   q <counter> <max> <period_ms> <kind> <source> <mark> <n> <boundary_ms>*n <m> (<label> <needed> <own>)*m
--   r <counter> <max> <window_ms>
--
-- <counter>  its place among the counters in KEYS, from 1
-- <period>   of a rolling period; 0 with boundaries: calendar periods; 0 without: never renews
-- <mark>     the limit's source, short enough for the list of fired thresholds
--
-- A counter is one hash:
--   u  used
--   s  start of the period; negative or 0: none runs, and its size is the last start
--   f  thresholds fired in the period, as ";mark:label;mark:label"
--   r  rate windows (2_windows.lua)
--   x  until when the hash is to live; 0: for ever
-- The end of a period is not stored: it follows from the start and the limit's own period, so a changed one acts at once.

local DAY = 86400000
local KEPT_AFTER_PERIOD = 2 * DAY

local function clock(override)
  local now = tonumber(override)
  if now > 0 then return now end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function digits(number)
  return string.format('%d', number)
end

-- Sets from and till of the calendar period that holds now. Without them the boundaries are outdated.
local function place_in_calendar(limit, argv, at, count, now)
  limit.calendar = true
  for i = at, at + count - 2 do
    local from, till = tonumber(argv[i]), tonumber(argv[i + 1])
    if from <= now and now < till then
      limit.from, limit.till = from, till
      return
    end
  end
  limit.outdated = true
end

local function parse_quota(argv, at, now)
  local limit = {
    counter = tonumber(argv[at + 1]), max = tonumber(argv[at + 2]), period = tonumber(argv[at + 3]),
    kind = argv[at + 4], source = argv[at + 5], mark = argv[at + 6], is_quota = true,
  }
  local boundaries = tonumber(argv[at + 7])
  at = at + 8
  if boundaries > 0 then place_in_calendar(limit, argv, at, boundaries, now) end
  at = at + boundaries
  limit.thresholds_at, limit.thresholds = at + 1, tonumber(argv[at])
  return limit, at + 1 + 3 * limit.thresholds
end

local function parse_rate(argv, at)
  return {counter = tonumber(argv[at + 1]), max = tonumber(argv[at + 2]), window = tonumber(argv[at + 3])}, at + 4
end

-- All limits from ARGV[at] on, and whether any calendar is outdated.
local function parse_limits(argv, at, now)
  local limits, outdated, limit = {}, false, nil
  while at <= #argv do
    if argv[at] == 'q' then
      limit, at = parse_quota(argv, at, now)
      outdated = outdated or limit.outdated
    else
      limit, at = parse_rate(argv, at)
    end
    limits[#limits + 1] = limit
  end
  return limits, outdated
end

local function read_counter(key)
  local fields = redis.call('HMGET', key, 'u', 's', 'f', 'x', 'r')
  local life = tonumber(fields[4])
  return {
    key = key, used = tonumber(fields[1]), start = tonumber(fields[2]) or 0, fired = fields[3] or '',
    life = life == 0 and math.huge or life, windows = fields[5], staged = {},
  }
end

local function stage(counter, field, value)
  local staged = counter.staged
  staged[#staged + 1] = field
  staged[#staged + 1] = value
end

local function period_runs(limit, counter, now)
  if counter.start <= 0 then return false end
  if limit.calendar then return counter.start >= limit.from end
  return limit.period <= 0 or now < counter.start + limit.period
end

-- 0: never, or there is no start to count from.
local function period_end(limit, start)
  if limit.calendar then return limit.till end
  if limit.period <= 0 or start <= 0 then return 0 end
  return start + limit.period
end

-- Every period of a counter has a start of its own, also after a reset within the same millisecond: the ledger tells
-- them apart by it.
local function begin_period(counter, now)
  counter.used, counter.fired, counter.renewed = 0, '', true
  counter.start = math.max(now, math.abs(counter.start) + 1)
  stage(counter, 's', digits(counter.start))
  stage(counter, 'f', '')
end

local function live_until(counter, moment)
  counter.wanted = math.max(counter.wanted or 0, moment)
end

local function live_for_period(counter, limit, now)
  local ends = period_end(limit, counter.start)
  live_until(counter, ends == 0 and limit.period <= 0 and math.huge or math.max(ends, now) + KEPT_AFTER_PERIOD)
end

-- Writes what was staged. A life is only ever lengthened, except by a new period, which says exactly how long.
local function settle(counter, now)
  local wanted, life = counter.wanted, counter.life
  local changes = wanted and (counter.renewed or not life or wanted > life)
  if changes then stage(counter, 'x', wanted == math.huge and '0' or digits(wanted)) end
  if #counter.staged > 0 then redis.call('HSET', counter.key, unpack(counter.staged)) end
  if not changes then return end
  if wanted == math.huge then
    redis.call('PERSIST', counter.key)
  else
    redis.call('PEXPIRE', counter.key, digits(wanted - now))
  end
end
