-- What the worker copies to the database: counters touched since last time, usage by the hour, and notes of what people
-- did.

-- take_dirty: names of counters to snapshot, or touched hours.
-- KEYS  1 dirty set, 2 set in work, 3 generation of the set in work
-- RETURN {generation, {counter, ...}}; generation 0: nothing to do
-- GUARANTEE  A set in work is handed out again until drop_dirty, so a worker that dies loses nothing.
local function take_dirty(keys)
  if redis.call('EXISTS', keys[2]) == 0 then
    if redis.call('EXISTS', keys[1]) == 0 then return {0, {}} end
    redis.call('RENAME', keys[1], keys[2])
    redis.call('INCR', keys[3])
  end
  return {tonumber(redis.call('GET', keys[3])) or 0, redis.call('SMEMBERS', keys[2])}
end

-- drop_dirty: forgets the set in work, once its snapshots are committed.
-- KEYS  1 set in work, 2 generation; ARGV 1 the generation that was taken
-- RETURN 1, or 0 if another worker has finished it and a newer set is in work
local function drop_dirty(keys, argv)
  if redis.call('GET', keys[2]) ~= argv[1] then return 0 end
  return redis.call('DEL', keys[1])
end

-- snapshot: what counters hold, all at one moment.
-- KEYS  counters
-- RETURN {now, then per counter: exists, used, start, fired}
local function snapshot(keys)
  local reply = {clock(0)}
  for _, key in ipairs(keys) do
    local counter = read_counter(key)
    local at = #reply
    reply[at + 1] = counter.used and 1 or 0
    reply[at + 2], reply[at + 3], reply[at + 4] = counter.used or 0, counter.start, counter.fired
  end
  return reply
end

-- touched_hours: usage of some hours, all at one moment.
-- KEYS  1 hourly usage; ARGV stems of fields
-- RETURN {epoch, then per stem: passed, denied}
local function touched_hours(keys, argv)
  local fields = {'epoch'}
  for _, stem in ipairs(argv) do
    fields[#fields + 1] = stem .. '|p'
    fields[#fields + 1] = stem .. '|d'
  end
  local reply = redis.call('HMGET', keys[1], unpack(fields))
  for i, value in ipairs(reply) do reply[i] = tonumber(value) or 0 end
  return reply
end

-- hours: a part of the hourly usage hash.
-- KEYS  1 hourly usage; ARGV 1 cursor ('0' begins), 2 about how many fields
-- RETURN {now, epoch, next cursor ('0': that was all), {field, value, ...}}
local function hours(keys, argv)
  local page = redis.call('HSCAN', keys[1], argv[1], 'COUNT', argv[2])
  return {clock(0), tonumber(redis.call('HGET', keys[1], 'epoch')) or 0, page[1], page[2]}
end

-- notes: of what people did to counters, since they were last forgotten.
-- KEYS  1 notes
-- RETURN {now, {field, note, ...}}; a note is "<at in ms> <used before> <text>"
local function notes(keys)
  return {clock(0), redis.call('HGETALL', keys[1])}
end

-- forget: deletes fields of hours gone by, or notes, once they are committed.
-- KEYS  1 hourly usage, or notes; ARGV fields
-- RETURN how many were there
local function forget(keys, argv)
  return redis.call('HDEL', keys[1], unpack(argv))
end

redis.register_function(LIBRARY .. '_take_dirty', take_dirty)
redis.register_function(LIBRARY .. '_drop_dirty', drop_dirty)
redis.register_function{function_name = LIBRARY .. '_snapshot', callback = snapshot, flags = {'no-writes'}}
redis.register_function{function_name = LIBRARY .. '_hours', callback = hours, flags = {'no-writes'}}
redis.register_function{function_name = LIBRARY .. '_touched_hours', callback = touched_hours, flags = {'no-writes'}}
redis.register_function{function_name = LIBRARY .. '_notes', callback = notes, flags = {'no-writes'}}
redis.register_function(LIBRARY .. '_forget', forget)
