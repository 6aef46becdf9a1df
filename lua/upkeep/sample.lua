-- sample: no edge
-- Samples the queue's numbers, unless that was done in this step, or none of them has changed.
-- KEYS     1 records  2 meta  3 pending  4 keyed  5 lanes  6 shut  7 scheduled  8 active
--          9 retry  10 blocked  11 grouped  12 dead  13 series
-- ARGV     1 now in ms, '' for the server's time  2 step of the last sample that the caller
--          knows, -1 for none  3 ms for which the queue may have changed without being seen by it
-- RETURNS  step of the last sample, -1 for none; ms until the next may be taken, -1 if nothing
--          has changed, and nothing will without a signal; after a sample: 1 if it
--          begins a chunk of the shortest steps, else 0
-- INCLUDE  clock record oldest_due
local now, known, unseen = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local series = KEYS[13]
local TOTALS, NUMBERS, MARK = 4, 12, 4096
local lengths, kept = STEPS_OF, CHUNKS_KEPT
local step = math.floor(now / SAMPLE_STEP_MS)

local _, last = pcall(cmsgpack.unpack, redis.call('HGET', series, 'last'))
if type(last) ~= 'table' then last = {SERIES_FORMAT, -1} end
if last[1] ~= SERIES_FORMAT then return {-1, -1} end
local last_step = last[2]
if last_step - BACK_STEPS <= step and step <= last_step then
  return {last_step, (last_step + 1) * SAMPLE_STEP_MS - now}
end

local function before(n)
  return last[n + 2] or 0
end
local numbers = redis.call('HMGET', KEYS[2], 'enqueued', 'completed', 'failed', 'dead')
for n = 1, TOTALS do numbers[n] = tonumber(numbers[n] or 0) end
numbers[5] = redis.call('ZCARD', KEYS[3]) + redis.call('ZCARD', KEYS[4])
numbers[6] = redis.call('ZCARD', KEYS[7])
numbers[7] = redis.call('ZCARD', KEYS[8])
numbers[8] = redis.call('ZCARD', KEYS[9])
numbers[9] = redis.call('ZCARD', KEYS[10])
numbers[10] = redis.call('ZCARD', KEYS[11])
numbers[11] = redis.call('ZCARD', KEYS[12])
numbers[12] = math.floor((oldest_due(KEYS[3], KEYS[4], KEYS[5], KEYS[6]) or 0) / 1000)
local changed = false
for n = 1, NUMBERS do changed = changed or numbers[n] ~= before(n) end
local next_in = (step + 1) * SAMPLE_STEP_MS - now
local went_back = step < last_step
if not changed and not went_back then
  return {last_step, numbers[5] + numbers[7] == 0 and -1 or next_in}
end

local is_gap = went_back or last_step < known
  or math.min(unseen, now - last_step * SAMPLE_STEP_MS) > GAP_MS
local taken, carried = {}, {}
for n = 1, NUMBERS do
  taken[n], carried[n] = math.min(numbers[n], SAMPLE_MAX), math.min(before(n), SAMPLE_MAX)
  if n <= TOTALS then
    is_gap = is_gap or numbers[n] < before(n)
    taken[n], carried[n] = math.min(math.max(0, numbers[n] - before(n)), SAMPLE_MAX), 0
  end
end

-- A stored sample: its step within the chunk, a bit for each number that is not 0 and its mark,
-- and these numbers.
local function packed(at, mark, values)
  local mask, parts = mark * MARK, {}
  for n = 1, NUMBERS do
    if values[n] > 0 then
      mask = mask + 2 ^ (n - 1)
      parts[#parts + 1] = struct.pack('>I4', values[n])
    end
  end
  return struct.pack('>BI2', at % STEPS_PER_CHUNK, mask) .. table.concat(parts)
end
-- Returns the numbers and the mark of the first sample, and where the next begins.
local function first_of(samples)
  local mask, values, position = struct.unpack('>I2', samples, 2), {}, 4
  for n = 1, NUMBERS do
    values[n] = 0
    if band(mask, 2 ^ (n - 1)) ~= 0 then
      values[n] = struct.unpack('>I4', samples, position)
      position = position + 4
    end
  end
  return values, math.floor(mask / MARK), position
end
-- Calls a function with the field and the number of each chunk of a level.
local function each_chunk(level, call)
  for _, field in ipairs(redis.call('HKEYS', series)) do
    local number = field:match('^' .. level .. ':(%d+)$')
    if number then call(field, tonumber(number)) end
  end
end

-- Adds a sample, or adds it to the one of its step. The newest is the first.
local function put(level, at, mark, values)
  local chunk = math.floor(at / STEPS_PER_CHUNK)
  local field = level .. ':' .. chunk
  local samples = redis.call('HGET', series, field) or ''
  if samples == '' then
    each_chunk(level, function(old, number)
      if number < chunk - kept[level + 1] then redis.call('HDEL', series, old) end
    end)
  elseif samples:byte(1) == at % STEPS_PER_CHUNK then
    local old, old_mark, rest = first_of(samples)
    local sums = {unpack(values)}
    for n = 1, TOTALS do sums[n] = math.min(values[n] + old[n], SAMPLE_MAX) end
    values, mark = sums, mark == 0 and old_mark or mark
    samples = samples:sub(rest)
  end
  redis.call('HSET', series, field, packed(at, mark, values) .. samples)
end
-- Removes the samples of steps that are still to come, by a clock that went back.
local function forget_after(level, at)
  local chunk = math.floor(at / STEPS_PER_CHUNK)
  each_chunk(level, function(field, number)
    local samples = number <= chunk and redis.call('HGET', series, field) or ''
    while number == chunk and samples ~= '' and samples:byte(1) > at % STEPS_PER_CHUNK do
      local _, _, rest = first_of(samples)
      samples = samples:sub(rest)
    end
    if samples == '' then
      redis.call('HDEL', series, field)
    else
      redis.call('HSET', series, field, samples)
    end
  end)
end

local begins = 1 - redis.call('HEXISTS', series, '0:' .. math.floor(step / STEPS_PER_CHUNK))
for index, length in ipairs(lengths) do
  local level, here = index - 1, math.ceil(step / length)
  if went_back then forget_after(level, here) end
  if not is_gap and math.ceil(last_step / length) < here - 1 then
    put(level, here - 1, SAMPLE_CARRIED, carried)
  end
  put(level, here, is_gap and SAMPLE_GAP or 0, taken)
end
redis.call('HSET', series, 'last', cmsgpack.pack({SERIES_FORMAT, step, unpack(numbers)}))
return {step, next_in, begins}
