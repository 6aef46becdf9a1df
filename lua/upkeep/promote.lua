-- promote: scheduled, retry -> pending
-- Makes the first due tasks ready; of one instant, in the order in which they were enqueued.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 limit, 1 to 1000
-- RETURNS  how many tasks moved; ms until the next is due, -1 for none
-- INCLUDE  clock keys record history lanes indexes terminal propagate due
local now = clock(ARGV[1])
local limit, tasks, moved = tonumber(ARGV[2]), {}, 0

-- Adds the due tasks of an index that may be among the first: the numbers that order them, and
-- {id, record, index}, false for a damaged record.
local function add_due(index)
  local ids, found = due_tasks(index, now, limit)
  local last = ids[limit] and redis.call('ZSCORE', index, ids[limit])
  -- The first that were enqueued may be among the tasks of the last instant that are left.
  if last and redis.call('ZCOUNT', index, '-inf', last) > limit then
    ids, found = due_tasks(index, last, math.max(limit, ORDERED_AT_ONCE))
  end
  for i, id in ipairs(ids) do
    local record, n = found[i], #tasks + 1
    tasks[n] = record and {record[RUN], record[CREATED], record[SEQ], n} or {0, 0, 0, n}
    tasks[n].moves = {id, record, index}
  end
end

add_due(scheduled)
add_due(retry)
table.sort(tasks, precedes)
for n = 1, math.min(limit, #tasks) do
  local id, record, index = unpack(tasks[n].moves)
  if record then
    local was = record[STATE]
    leave_index(id, record)
    record[SEQ] = next_seq()
    ready(id, record)
    record_entry(now, 'promote', id, was, PENDING, record)
    moved = moved + 1
  else
    -- A claim buries a task that cannot be decoded.
    redis.call('ZREM', index, id)
    redis.call('ZADD', pending, 0, id)
  end
end
conclude(now)
return {moved, next_in(now, {scheduled, retry})}
