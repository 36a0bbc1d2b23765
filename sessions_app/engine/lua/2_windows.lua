-- Sliding windows in constant memory (rule 4.1): usage is the current window, plus the previous one weighted by how much
-- of it still shows.
--
-- Field r of a counter holds one entry "length:index:current:previous:idle" per window length, joined with ";". Windows
-- are aligned: window `index` starts at index * length. A counter shared by limits of different lengths (rule 5.5) has
-- an entry for each, and every request counts in all of them; a length that is asked for the first time begins with what
-- the others are certain to know of it. `idle` is the number of windows since a limit of that very length admitted
-- something: an entry that nobody asks for any more (a changed limit) goes after two windows and a day.

local SLACK = 60000

local function read_windows(text)
  local windows = {}
  for length, index, current, previous, idle in string.gmatch(text or '', '(%d+):(%d+):(%d+):(%d+):(%d+)') do
    windows[#windows + 1] = {
      length = tonumber(length), index = tonumber(index), current = tonumber(current),
      previous = tonumber(previous), idle = tonumber(idle),
    }
  end
  return windows
end

-- Moves a window to now. If the clock stepped back by less than a window, the stored one goes on; by more, it is void.
local function roll(window, now)
  local index = math.floor(now / window.length)
  local steps = index - window.index
  if steps == 0 or steps == -1 then return end
  window.previous = steps == 1 and window.current or 0
  window.current, window.index = 0, index
  window.idle = window.idle + math.max(steps, 0)
end

-- What the windows of other lengths have counted since `start`, as far as they began no earlier.
local function known_since(counter, start, now)
  local known = 0
  for _, window in ipairs(counter.entries) do
    roll(window, now)
    local begins = window.index * window.length
    local counted = begins >= start and window.current or 0
    if begins - window.length >= start then counted = counted + window.previous end
    known = math.max(known, counted)
  end
  return known
end

local function window_of(counter, length, now)
  counter.entries = counter.entries or read_windows(counter.windows)
  for _, window in ipairs(counter.entries) do
    if window.length == length then
      roll(window, now)
      return window
    end
  end
  local index = math.floor(now / length)
  local known = known_since(counter, index * length, now)
  local window = {length = length, index = index, current = known, previous = 0, idle = 0}
  counter.entries[#counter.entries + 1] = window
  return window
end

local function usage_in(window, now)
  local elapsed = math.max(0, now - window.index * window.length)
  return math.floor(window.previous * (window.length - elapsed) / window.length) + window.current
end

-- Counts a request in every window of the counter and stages the field.
local function count_in_windows(counter, asked, now, cost)
  local texts = {}
  asked.idle = 0
  for _, window in ipairs(counter.entries) do
    roll(window, now)
    if window.idle * window.length < 2 * window.length + DAY then
      window.current = window.current + cost
      texts[#texts + 1] = string.format(
        '%d:%d:%d:%d:%d', window.length, window.index, window.current, window.previous, window.idle)
      live_until(counter, (window.index + 2) * window.length)
    end
  end
  stage(counter, 'r', table.concat(texts, ';'))
  -- Slack in steps, so that the life is not written anew with each short window.
  if not counter.life or counter.wanted > counter.life then live_until(counter, counter.wanted + SLACK) end
end
