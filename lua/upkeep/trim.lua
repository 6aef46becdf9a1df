-- trim: no edge
-- Removes parts of the queue's statistics: what is too old to be read, then the coarsest.
-- KEYS     1 series  2 types
-- ARGV     1 now in ms, '' for the server's time  2 how many bytes are to go, if there are as many
-- RETURNS  bytes of the chunks and steps that were removed
-- INCLUDE  clock
local now, shed, gone = clock(ARGV[1]), tonumber(ARGV[2]), 0
local series, types, parts = KEYS[1], KEYS[2], {}
local ranks, kept, lengths = CHUNK_RANKS, CHUNKS_KEPT, STEPS_OF

-- Returns the step of a key's last change, -1 for none; nil if a newer version wrote it.
local function step_of(key, field, format)
  local _, head = pcall(cmsgpack.unpack, redis.call('HGET', key, field))
  if type(head) ~= 'table' then return -1 end
  return head[1] == format and head[2] or nil
end
local function add(rank, key, field, number, is_old)
  parts[#parts + 1] = {(is_old and 0 or 10) + rank, number, key, field}
end

if step_of(series, 'last', SERIES_FORMAT) then
  for _, field in ipairs(redis.call('HKEYS', series)) do
    local level, number = field:match('^(%d):(%d+)$')
    if level then
      level, number = tonumber(level) + 1, tonumber(number)
      local here = math.floor(math.ceil(now / SAMPLE_STEP_MS / lengths[level]) / STEPS_PER_CHUNK)
      if level > 1 or number < here then
        add(ranks[level], series, field, number, number < here - kept[level])
      end
    end
  end
end
local last = step_of(types, 'head', TYPES_FORMAT)
local oldest = math.floor(now / TYPES_STEP_MS) - TYPES_STEPS
if last then
  for _, field in ipairs(redis.call('HKEYS', types)) do
    local at = tonumber(field:match('^s(%d+)$'))
    if at then add(TYPES_RANK, types, field, at, at < oldest) end
  end
end
table.sort(parts, function(one, two)
  if one[1] ~= two[1] then return one[1] < two[1] end
  return one[2] < two[2]
end)
for _, part in ipairs(parts) do
  local rank, _, key, field = unpack(part)
  if rank >= 10 and gone >= shed then break end
  gone = gone + redis.call('HSTRLEN', key, field) + TYPE_STEP_BYTES
  redis.call('HDEL', key, field)
end
if last and last < oldest then redis.call('UNLINK', types) end
return gone
