-- scan: no edge
-- Reads the next tasks of one state that a filter chooses, along its index or backwards: pending
-- ones without a limit key first, then key by key; grouped ones group by group.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 the code of the state
--          3 tasks to look at, 0 to SCAN_STEP  4 '1' for backwards, '' otherwise
--          5 id of the place after which to begin, '' for the beginning
--          6 its score  7 its limit key or group, '' without; then what is tested, '' for anything:
--          8 the priority  9 the limit key  10 the packed type, as it stands in an envelope
--          11 a part of the error  12 the earliest end or enqueue in ms
--          13 the latest one in ms  14 the latest instant in ms at which it entered its state
--          15 the packed kind of failure, as it stands at the end of the attempts
-- RETURNS  now in ms; how many tasks are in the state; how many were looked at; of the last of
--          these id, score and lane, '' for none; 1 if nothing comes after it, else 0;
--          microseconds of CPU; then per chosen task an array: id, record, envelope, result,
--          progress, inputs, steps, attempts, its score as text, each '' when missing. A step
--          ends early after SCAN_BYTES of records, or of attempts that were looked at
-- INCLUDE  clock keys record entered
-- Returns microseconds of CPU time. Redis 6.2 has no `os.clock`, and time stands still in the
-- scripts of Valkey.
local library = rawget(_G, 'os')
local function cpu_time()
  if library then return library.clock() * 1000000 end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

local begun, now = cpu_time(), clock(ARGV[1])
local state, limit, backwards = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'
local after, at, lane = ARGV[5], ARGV[6], ARGV[7]
local priority, limit_key, type_head, reason = tonumber(ARGV[8]), ARGV[9], ARGV[10], ARGV[11]
local since, till, entered_by = tonumber(ARGV[12]), tonumber(ARGV[13]), tonumber(ARGV[14])
local kind, tested = ARGV[15], 0
-- The type begins after the head of an envelope's array and its version.
local type_from, type_to = TYPE_AT + 1, TYPE_AT + #type_head

local indexes = {({
  scheduled, blocked, grouped, pending, active, retry, completed, dead, cancelled,
})[state]}
if state == PENDING then indexes[2] = keyed end

local function ordered_by_bytes(n)
  return n == 2 or state == GROUPED
end

-- Returns -1, 0 or 1 for the order of two texts; Lua compares them by the locale.
local function compare(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = one:byte(i), other:byte(i)
    if a ~= b then return a < b and -1 or 1 end
  end
  return #one == #other and 0 or #one < #other and -1 or 1
end

-- Returns how many members of an index come before the place; forwards, the one that is there too.
local function count_until(n)
  local index = indexes[n]
  if ordered_by_bytes(n) then
    local bound = backwards and '(' or '['
    return redis.call('ZLEXCOUNT', index, '-', bound .. member(lane, tonumber(at), after))
  end
  local low = redis.call('ZCOUNT', index, '-inf', '(' .. at)
  local high = redis.call('ZCOUNT', index, '-inf', at)
  while low < high do
    local middle = math.floor((low + high) / 2)
    local order = compare(redis.call('ZRANGE', index, middle, middle)[1], after)
    if order < 0 or order == 0 and not backwards then
      low = middle + 1
    else
      high = middle
    end
  end
  return low
end

local entries, size, left = {}, 0, 0

-- Adds the next entries of an index: id, score and lane in turn.
local function add_entries(n)
  local first, last = 0, redis.call('ZCARD', indexes[n])
  size = size + last
  if after ~= '' then
    local home = indexes[2] and lane ~= '' and 2 or 1
    if n ~= home then
      if (n < home) ~= backwards then return end
    elseif backwards then
      last = count_until(n)
    else
      first = count_until(n)
    end
  end
  left = left + last - first
  local count = math.min(limit - #entries / 3, last - first)
  if count <= 0 then return end
  if backwards then first = last - count end
  local found = redis.call('ZRANGE', indexes[n], first, first + count - 1, 'WITHSCORES')
  for i = 1, count do
    local k = backwards and count - i or i - 1
    local entry, score_text, name = found[2 * k + 1], found[2 * k + 2], ''
    if ordered_by_bytes(n) then
      local length = entry:byte(1)
      name, score_text = entry:sub(2, length + 1), entry:sub(length + 2, length + 17)
      entry = entry:sub(length + 18)
    end
    entries[#entries + 1], entries[#entries + 2], entries[#entries + 3] = entry, score_text, name
  end
end

local function envelope_of(id, record)
  return record[ENVELOPE] ~= '' and record[ENVELOPE] or redis.call('HGET', payloads, id) or ''
end

-- Returns whether the filter chooses a task.
local function chosen(id, record)
  if priority and record[PRIORITY] ~= priority then return false end
  local relations = record[RELATIONS]
  if limit_key ~= '' and not (relations and relations[LIMIT_KEY] == limit_key) then return false end
  local hidden = record[ERROR]:sub(1, #ENCRYPTED_ERROR) == ENCRYPTED_ERROR
  if not hidden and not record[ERROR]:find(reason, 1, true) then return false end
  local ended = record[FINISHED]
  local aged = ended > 0 and ended or record[CREATED]
  if since and aged < since or till and aged > till then return false end
  if entered_by and entered(record) > entered_by then return false end
  if kind ~= '' then
    local tries = record[DELIVERIES] > 0 and redis.call('HGET', attempts, id) or ''
    tested = tested + #tries
    if tries:sub(-#kind) ~= kind then return false end
  end
  if type_head == '' then return true end
  local envelope = envelope_of(id, record)
  return envelope:sub(type_from, type_to) == type_head or envelope:sub(1, 2) == BATCH_HEAD
end

-- Returns how many bytes else are stored of a task, and these. Only what a record can have is
-- looked for.
local function contents_of(id, record)
  local envelope = envelope_of(id, record)
  local result, report, input, step, tries = '', '', '', '', ''
  if record[STATE] == COMPLETED then result = redis.call('HGET', results, id) or '' end
  if record[DELIVERIES] > 0 then
    report = redis.call('HGET', progress, id) or ''
    tries = redis.call('HGET', attempts, id) or ''
  end
  if record[RELATIONS] then input = redis.call('HGET', inputs, id) or '' end
  if marked(record, HAS_STEPS) then step = redis.call('HGET', steps, id) or '' end
  local bytes = #envelope + #result + #report + #input + #step + #tries
  return bytes, envelope, result, report, input, step, tries
end

local from, to, by = 1, #indexes, 1
if backwards then from, to, by = to, from, -1 end
for n = from, to, by do add_entries(n) end

local reply, bytes, looked = {now, size, 0, '', '', '', 0, 0}, 0, 0
while looked < #entries / 3 and bytes + tested < SCAN_BYTES do
  local id, score_text, name = unpack(entries, looked * 3 + 1, looked * 3 + 3)
  looked = looked + 1
  reply[4], reply[5], reply[6] = id, score_text, name
  local raw = redis.call('HGET', records, id)
  local record = decode(raw)
  if record and chosen(id, record) then
    local length, envelope, result, report, input, step, tries = contents_of(id, record)
    reply[#reply + 1] = {id, raw, envelope, result, report, input, step, tries, score_text}
    bytes = bytes + #raw + length
  end
end
reply[3] = looked
if looked == left then reply[7] = 1 end
reply[8] = math.floor(cpu_time() - begun)
return reply
