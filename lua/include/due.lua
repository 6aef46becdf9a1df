-- The first members of an index whose score is at most `now`.
local function due(index, now, limit)
  return redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, limit)
end

-- Of how many tasks of a newer format one step looks past.
local PASSED = 2000
-- The indexes in which such tasks are due: they stay there, and are no reason to hurry.
local passed = {}

-- Of these tasks of an index the ids and records, false for one that cannot be decoded; and
-- how many others there were, of a newer format.
local function readable(index, some)
  local ids, found, over = {}, {}, 0
  local raws = #some > 0 and redis.call('HMGET', KEYS[1], unpack(some)) or {}
  for i, id in ipairs(some) do
    local record, newer = nil, nil
    if raws[i] then record, newer = decode(raws[i]) end
    if newer then
      over = over + 1
    else
      ids[#ids + 1] = id
      found[#ids] = record or false
    end
  end
  if over > 0 then passed[index] = true end
  return ids, found, over
end

-- What is due of an index, `limit` at most, but for tasks of a newer format: as `readable`.
local function due_tasks(index, now, limit)
  local ids, found, over, more = {}, {}, 0, 0
  repeat
    local some = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', over + #ids, limit - #ids)
    local local_id, records_of, others = readable(index, some)
    for i, id in ipairs(local_id) do
      ids[#ids + 1] = id
      found[#ids] = records_of[i]
    end
    over, more = over + others, others
  until more == 0 or over > PASSED or #ids == limit
  return ids, found
end

-- The ms from now to the lowest score in any of the indexes; 0 when past, -1 for none.
local function next_in(now, indexes)
  local least = -1
  for _, index in ipairs(indexes) do
    local first
    if passed[index] then
      local behind = '(' .. string.format('%.0f', now)
      first = redis.call('ZRANGEBYSCORE', index, behind, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
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
