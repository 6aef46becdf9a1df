-- promote: scheduled, retry -> pending
-- Makes due tasks ready: at most `limit` scheduled and `limit` retried ones.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many moved; ms until the next is due, or a rate allows a start, -1 for none
-- INCLUDE  clock keys record history lanes indexes terminal propagate due
local now = clock(ARGV[1])
local moved = 0
for _, index in ipairs({scheduled, retry}) do
  local ids, found = due_tasks(index, now, tonumber(ARGV[2]))
  for i, id in ipairs(ids) do
    local record = found[i]
    if record then
      local was = record[STATE]
      leave_index(id, record)
      record[SEQ] = next_seq()
      ready(id, record)
      record_entry(now, 'promote', id, was, PENDING, record)
      moved = moved + 1
    else
      -- A claim buries what cannot be decoded.
      redis.call('ZREM', index, id)
      redis.call('ZADD', pending, 0, id)
    end
  end
end
conclude(now)
open_due(now)
local left = next_in(now, {scheduled, retry})
local whole, start = limit_of(''), -1
if whole and whole[LIMIT_COUNT] > 0 and redis.call('EXISTS', pending, keyed) > 0 then
  local at = free_at(whole, '')
  if at > now then
    start = at - now
  elseif whole[LIMIT_CONCURRENCY] == 0
    or redis.call('ZCARD', active) < whole[LIMIT_CONCURRENCY] then
    notify('wake')
  end
end
if start < 0 then
  local first = redis.call('ZRANGE', shut, 0, 0, 'WITHSCORES')[2]
  if first and tonumber(first) < math.huge then start = tonumber(first) - now end
end
if start >= 0 and (left < 0 or start < left) then left = start end
return {moved, left}
