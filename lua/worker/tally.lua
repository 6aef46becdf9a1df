-- tally: no edge
-- Adds what a worker has counted of its attempts, by type, unless it was added before.
-- KEYS     1 meta  2 types
-- ARGV     1 now in ms, '' for the server's time  2 key of the worker, 8 bytes
--          3 number of the tally; then two per type:
--          name, '' for the other types; its counts: msgpack array of positions and counts in turn
-- RETURNS  1 if it was added, 0 if it was before, or cannot be kept; 1 if a step has ended by it
-- INCLUDE  clock
local now, types = clock(ARGV[1]), KEYS[2]
local tally_of, number = 'w' .. ARGV[2], tonumber(ARGV[3])
local stored = redis.call('HMGET', types, 'head', 'kept', tally_of)

local _, head = pcall(cmsgpack.unpack, stored[1])
if type(head) ~= 'table' then head = {TYPES_FORMAT, -1} end
if head[1] ~= TYPES_FORMAT then return {0, 0} end
if tonumber(redis.call('HGET', KEYS[1], 'enqueued') or 0) == 0 then return {0, 0} end
if stored[3] and number <= struct.unpack('>I4', stored[3]) then return {0, 0} end
local _, kept = pcall(cmsgpack.unpack, stored[2])
if type(kept) ~= 'table' then kept = {} end
local step, last = math.floor(now / TYPES_STEP_MS), head[2]
if last - 1 <= step and step < last then step = last end

-- A type that is kept: its name, the first step of its index, its weight.
local name_at, since_at, weight_at, fields = -2, -1, 0, 3
local function field(index) return 'o' .. index end
-- Returns the counts of a type in the step in progress by their positions.
local function counts_of(packed)
  local pairs_, counts = cmsgpack.unpack(packed), {}
  for n = 1, #pairs_, 2 do counts[pairs_[n]] = pairs_[n + 1] end
  return counts
end
-- Adds counts to those of an index; returns how many attempts it has.
local function add(index, packed)
  local counts, sum, attempts = counts_of(packed), {}, 0
  local old = redis.call('HGET', types, field(index))
  old = old and counts_of(old) or {}
  for at = 0, COUNTS - 1 do
    local count = counts[at] or 0
    if at < WAITS_AT then attempts = attempts + count end
    count = math.min(TYPE_COUNT_MAX, count + (old[at] or 0))
    if count > 0 then
      sum[#sum + 1] = at
      sum[#sum + 1] = count
    end
  end
  redis.call('HSET', types, field(index), cmsgpack.pack(sum))
  return attempts
end
local function code(count)
  local halved = 0
  while count > 15 do
    count = math.floor(count / 2)
    halved = halved + 1
  end
  return string.char(8 * halved + count)
end
-- Returns the codes of buckets: the first that is not 0, how many up to the last, and these.
local function codes(counts, from, till)
  while from < till and not counts[from] do from = from + 1 end
  while till > from and not counts[till - 1] do till = till - 1 end
  local parts = {}
  for at = from, till - 1 do parts[#parts + 1] = code(counts[at] or 0) end
  return string.char(from < till and from or 0, #parts) .. table.concat(parts)
end
-- Returns a stored cell of an ended step: its index, a bit for each outcome that is not 0, these,
-- then the buckets of waiting and of running.
local function ended(index, packed)
  local counts, mask, parts = counts_of(packed), 0, {}
  for at = 0, WAITS_AT - 1 do
    if counts[at] then
      mask = mask + 2 ^ at
      parts[#parts + 1] = struct.pack('>I3', counts[at])
    end
  end
  return string.char(index, mask) .. table.concat(parts)
    .. codes(counts, WAITS_AT, RUNS_AT) .. codes(counts, RUNS_AT, COUNTS)
end

-- Keeps the step in progress, and removes what is too old or too much.
local function end_step()
  local cells = {}
  for index = 0, #kept / fields do
    local packed = redis.call('HGET', types, field(index))
    if packed then
      cells[#cells + 1] = ended(index, packed)
      redis.call('HDEL', types, field(index))
    end
  end
  if cells[1] then redis.call('HSET', types, 's' .. last, table.concat(cells)) end
  local size, steps, sizes = 0, {}, {}
  for _, name in ipairs(redis.call('HKEYS', types)) do
    local of = tonumber(name:match('^s(%d+)$'))
    if of and of < step - TYPES_STEPS then
      redis.call('HDEL', types, name)
    elseif of then
      steps[#steps + 1] = of
      sizes[of] = redis.call('HSTRLEN', types, name) + TYPE_STEP_BYTES
      size = size + sizes[of]
    elseif name:byte() == 119 then
      local _, at = struct.unpack('>I4I4', redis.call('HGET', types, name))
      if at < step - TALLY_FORGOTTEN then redis.call('HDEL', types, name) end
    end
  end
  table.sort(steps)
  for _, of in ipairs(steps) do
    if size <= TYPES_BYTES then break end
    redis.call('HDEL', types, 's' .. of)
    size = size - sizes[of]
  end
  local passed = step - last
  for at = fields, #kept, fields do
    if passed > TYPES_STEPS then kept[at + weight_at] = 0 end
    for _ = 1, kept[at + weight_at] > 0 and passed or 0 do
      kept[at + weight_at] = math.floor(kept[at + weight_at] * WEIGHT_KEPT / WEIGHT_OF)
    end
  end
end
-- Removes the steps that are still to come, by a clock that went back.
local function go_back()
  for _, name in ipairs(redis.call('HKEYS', types)) do
    local of = tonumber(name:match('^s(%d+)$'))
    if of and of >= step or name:byte() == 111 then redis.call('HDEL', types, name) end
  end
  for at = fields, #kept, fields do kept[at + since_at] = math.min(kept[at + since_at], step) end
end

-- Returns the index under which a type is kept that has none; 0 for the other types.
local function index_for(name, packed)
  if #kept < fields * TYPES_KEPT then
    kept[#kept + 1], kept[#kept + 2], kept[#kept + 3] = name, step, 0
    return #kept / fields
  end
  local least, attempts = fields, 0
  for at = fields, #kept, fields do
    if kept[at + weight_at] < kept[least + weight_at] then least = at end
  end
  for at, count in pairs(counts_of(packed)) do
    if at < WAITS_AT then attempts = attempts + count end
  end
  if attempts * WEIGHT <= kept[least + weight_at] then return 0 end
  kept[least + name_at], kept[least + since_at], kept[least + weight_at] = name, step, 0
  local index = least / fields
  local before = redis.call('HGET', types, field(index))
  if before then
    redis.call('HDEL', types, field(index))
    add(0, before)
  end
  return index
end

if -1 < last and last < step then
  end_step()
elseif step < last then
  go_back()
end
local indexes = {}
for at = fields, #kept, fields do indexes[kept[at + name_at]] = at / fields end
for i = 4, #ARGV, 2 do
  local name, packed = ARGV[i], ARGV[i + 1]
  local index = name ~= '' and (indexes[name] or index_for(name, packed)) or 0
  local attempts = add(index, packed)
  if index > 0 then
    local at = index * fields + weight_at
    kept[at] = math.min(WEIGHT_MAX, kept[at] + attempts * WEIGHT)
  end
end
redis.call('HSET', types, 'head', cmsgpack.pack({TYPES_FORMAT, step}), 'kept', cmsgpack.pack(kept),
  tally_of, struct.pack('>I4I4', number, step))
return {1, -1 < last and last < step and 1 or 0}
