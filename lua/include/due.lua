-- Returns the first members of an index whose score is at most `now`.
local function due(index, now, limit)
  return redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, limit)
end

-- How many tasks of a newer format one call skips, at most.
local PASSED = 2000
-- The indexes in which such tasks are due. They stay there, so `next_in` ignores them.
local passed = {}

-- Returns the ids and the records of these tasks of an index after those given, false for a record
-- that cannot be decoded, and how many tasks of a newer format it left out.
local function readable(index, page, ids, found)
  local newer_count, raws = 0, #page > 0 and redis.call('HMGET', KEYS[1], unpack(page)) or {}
  ids, found = ids or {}, found or {}
  for i, id in ipairs(page) do
    local record, newer = decode(raws[i])
    if newer then
      newer_count = newer_count + 1
    else
      ids[#ids + 1] = id
      found[#ids] = record or false
    end
  end
  if newer_count > 0 then passed[index] = true end
  return ids, found, newer_count
end

-- Returns ids and records of due tasks of an index, `limit` at most, as `readable` does.
local function due_tasks(index, now, limit)
  local ids, found, skipped, newer_count = {}, {}, 0, 0
  repeat
    local page = redis.call('ZRANGEBYSCORE', index, '-inf', now,
      'LIMIT', skipped + #ids, limit - #ids)
    ids, found, newer_count = readable(index, page, ids, found)
    skipped = skipped + newer_count
  until newer_count == 0 or skipped > PASSED or #ids == limit
  return ids, found
end

-- Returns the ms from now to the lowest score in any of the indexes; 0 when past, -1 for none.
local function next_in(now, indexes)
  local least = -1
  for _, index in ipairs(indexes) do
    local first
    if passed[index] then
      local after_now = '(' .. string.format('%.0f', now)
      first = redis.call('ZRANGEBYSCORE', index, after_now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    else
      first = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
    end
    if first[2] then
      local left = math.max(0, tonumber(first[2]) - now)
      if least < 0 or left < least then least = left end
    end
  end
  return least
end
