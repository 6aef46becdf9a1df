-- The first members of an index whose score is at most `now`.
local function due(index, now, limit)
  return redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, limit)
end

-- The ms from now to the lowest score in any of the indexes; 0 when past, -1 for none.
local function next_in(now, indexes)
  local least = -1
  for _, index in ipairs(indexes) do
    local first = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
    if first[2] then
      local left = math.max(0, tonumber(first[2]) - now)
      if least < 0 or left < least then least = left end
    end
  end
  return least
end
