-- What people and restarts do to counters and versions.

-- restore: creates a quota counter from its snapshot, or a fresh one, unless it exists by now (rule 9.2).
-- KEYS  1 counter
-- ARGV  1 now in ms (0: the store's clock), 2 used, 3 start, 4 fired, 5.. the limit
-- RETURN 1 if it was created, else 0
-- GUARANTEE  An existing counter is never changed.
local function restore(keys, argv)
  local now = clock(argv[1])
  local counter = read_counter(keys[1])
  if counter.used then return 0 end
  local limits, outdated = parse_limits(argv, 5, now)
  counter.start = tonumber(argv[3])
  stage(counter, 'u', argv[2])
  stage(counter, 's', argv[3])
  stage(counter, 'f', argv[4])
  if not outdated and period_runs(limits[1], counter, now) then
    live_for_period(counter, limits[1], now)
  else
    live_until(counter, now + KEPT_AFTER_PERIOD)
  end
  settle(counter, now)
  return 1
end

-- The counter that a verb acts on, with used as of now (0 if its period is over), or the reply that says why not. A
-- verb whose note is there was done before: it is answered as it was then.
local function verb_target(keys, argv, at)
  local now = clock(argv[1])
  local noted = argv[2] ~= '' and redis.call('HGET', keys[3], argv[2])
  if noted then
    local noted_at, before = string.match(noted, '^(%d+) (%d+) ')
    return {JUDGED, tonumber(noted_at), tonumber(before)}
  end
  local limits, outdated = parse_limits(argv, at, now)
  if outdated then return {OUTDATED, now} end
  local counter = read_counter(keys[1])
  if not counter.used then return {MISSING, now} end
  local before = period_runs(limits[1], counter, now) and counter.used or 0
  return nil, counter, limits[1], now, before
end

-- What people did is noted in the same step, so that no crash afterwards leaves it without an entry in the audit.
local function note(keys, argv, now, before)
  if argv[2] ~= '' then redis.call('HSET', keys[3], argv[2], digits(now) .. ' ' .. digits(before) .. ' ' .. argv[3]) end
end

-- reset: usage becomes 0, fired thresholds are forgotten, a new period begins with the next request (rule 2.10).
-- KEYS  1 counter, 2 dirty set, 3 notes
-- ARGV  1 now in ms (0: the store's clock), 2 field of the note ("": none), 3 its text, 4.. the limit
-- RETURN 0 JUDGED, now, used before; or 2 MISSING, now; or 3 OUTDATED, now
-- GUARANTEE  The next period has another start than any before. Rate windows stay. Repeated while its note is there, it
--            changes nothing and answers the same.
local function reset(keys, argv)
  local reply, counter, _, now, before = verb_target(keys, argv, 4)
  if reply then return reply end
  stage(counter, 'u', '0')
  stage(counter, 's', digits(-math.max(1, math.abs(counter.start))))
  stage(counter, 'f', '')
  settle(counter, now)
  redis.call('SADD', keys[2], counter.key)
  note(keys, argv, now, before)
  return {JUDGED, now, before}
end

-- assign: sets usage (rule 2.12). The period goes on, or begins now if none runs; what fired in it stays fired.
-- KEYS  1 counter, 2 dirty set, 3 notes
-- ARGV  1 now in ms (0: the store's clock), 2 field of the note ("": none), 3 its text, 4 used, 5.. the limit
-- RETURN as reset
local function assign(keys, argv)
  local reply, counter, limit, now, before = verb_target(keys, argv, 5)
  if reply then return reply end
  if not period_runs(limit, counter, now) then begin_period(counter, now) end
  stage(counter, 'u', argv[4])
  live_for_period(counter, limit, now)
  settle(counter, now)
  redis.call('SADD', keys[2], counter.key)
  note(keys, argv, now, before)
  return {JUDGED, now, before}
end

-- adopt: takes over what another gateway has counted: the greater of both counts. A counter in which no period runs goes
-- on in the other's period; what fired there is taken as fired here.
-- KEYS  1 counter, 2 dirty set
-- ARGV  1 now in ms (0: the store's clock), 2 used there, 3 start there, 4 fired there, 5.. the limit
-- RETURN 0 JUDGED, now, used before; or 3 OUTDATED, now
-- GUARANTEE  Units counted here are never taken away. Repeated, it changes nothing.
local function adopt(keys, argv)
  local now, used = clock(argv[1]), tonumber(argv[2])
  local limits, outdated = parse_limits(argv, 5, now)
  if outdated then return {OUTDATED, now} end
  local counter, limit = read_counter(keys[1]), limits[1]
  local runs = counter.used and period_runs(limit, counter, now)
  local before = runs and counter.used or 0
  if runs and before >= used then return {JUDGED, now, before} end
  if not runs then begin_period(counter, math.min(now, tonumber(argv[3]))) end
  if not period_runs(limit, counter, now) then begin_period(counter, now) end
  for token in string.gmatch(argv[4], ';[^;]+') do
    if not string.find(counter.fired .. ';', token .. ';', 1, true) then counter.fired = counter.fired .. token end
  end
  stage(counter, 'u', argv[2])
  stage(counter, 'f', counter.fired)
  live_for_period(counter, limit, now)
  settle(counter, now)
  redis.call('SADD', keys[2], counter.key)
  return {JUDGED, now, before}
end

-- publish: tells the store which versions are current. Version = max(stored, given).
-- KEYS  versions; ARGV one number for each
-- RETURN how many were raised
local function publish(keys, argv)
  local raised = 0
  for i, key in ipairs(keys) do
    local known = tonumber(redis.call('GET', key))
    if not known or known < tonumber(argv[i]) then
      redis.call('SET', key, argv[i])
      raised = raised + 1
    end
  end
  return raised
end

redis.register_function(LIBRARY .. '_restore', restore)
redis.register_function(LIBRARY .. '_reset', reset)
redis.register_function(LIBRARY .. '_assign', assign)
redis.register_function(LIBRARY .. '_adopt', adopt)
redis.register_function(LIBRARY .. '_publish', publish)
