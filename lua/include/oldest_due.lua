-- Returns since when, in ms, the oldest task at the head of a priority, or of one of the first
-- limit keys, has been due; nil without a pending task.
local function oldest_due(plain, by_key, open, closed)
  local oldest
  local function look_at(id)
    local record = load(id)
    if record then oldest = math.min(oldest or record[RUN], record[RUN]) end
  end
  -- There are at most 101 priorities, so the loop is bounded.
  local from = '-inf'
  while true do
    local head = redis.call('ZRANGEBYSCORE', plain, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not head[1] then break end
    look_at(head[1])
    from = (math.floor(tonumber(head[2]) / PRIORITY_SPAN) + 1) * PRIORITY_SPAN
  end
  for _, index in ipairs({open, closed}) do
    for _, key in ipairs(redis.call('ZRANGE', index, 0, 49)) do
      local first = with_prefix(by_key, prefix(key), 1)[1]
      if first then look_at(first:sub(#key + 18)) end
    end
  end
  return oldest
end
