-- requeue: scheduled, pending, retry, dead, cancelled -> -
-- Removes a task, and sends one of its payload and options to another queue.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 id
--          3 the envelope that was seen  4 the numbers that were seen: a msgpack array of
--          priority, max_retry, max_crashes, retention in ms and expiry in ms, 0 for never
--          5 the new id, which exists nowhere  6 the new envelope  7 the options of the new task,
--          with the queue that receives it among its relations  8 the code of the state in which it
--          must be, '' for any  9 the latest instant in ms at which it entered it
-- RETURNS  the code of the state in which the task was, 0 for no such task, and why it stays: an
--          `Obstacle`, 0 if it was moved; for a task of a newer format, which stays as it is, the
--          first field of its record, negated, and 0
-- INCLUDE  clock keys record history lanes indexes terminal propagate version entered
local now, id, seen = clock(ARGV[1]), ARGV[2], cmsgpack.unpack(ARGV[4])
local record, newer = load(id)
if not record then return {-(newer or 0), 0} end
if not is_still(record, ARGV[8], ARGV[9]) then return {0, 0} end
local state, relations = record[STATE], record[RELATIONS]

local function obstacle()
  if state == BLOCKED or state == GROUPED or state == ACTIVE or state == COMPLETED then
    return OBSTACLE_STATE
  end
  if not is_version(id, record, ARGV[3], seen) then return OBSTACLE_CHANGED end
  if record[EXPIRES] ~= seen[EXPIRY] then return OBSTACLE_CHANGED end
  if relations then
    if relations[UNIQUE] ~= '' then return OBSTACLE_UNIQUE_KEY end
    if relations[GROUP] ~= '' then return OBSTACLE_GROUP end
  end
  if state < COMPLETED then
    if marked(record, HAS_DEPENDENTS) then return OBSTACLE_DEPENDENTS end
    if marked(record, HAS_WAITERS) then return OBSTACLE_WAITERS end
  end
  local needs_others = relations and relations[WAITS] > 0 or redis.call('HEXISTS', inputs, id) == 1
  if needs_others or marked(record, HAS_STEPS) then return OBSTACLE_KEPT end
  return 0
end

local why = obstacle()
if why > 0 then return {state, why} end
local options = cmsgpack.unpack(ARGV[7])
if state == SCHEDULED or state == RETRY then options[NEW_RUN_AT] = record[RUN] end
options[NEW_EXPIRES_AT] = state < COMPLETED and record[EXPIRES] or 0
send(now, options[NEW_RELATIONS][NEW_QUEUE], TASK, ARGV[5], ARGV[6], cmsgpack.pack(options))
leave_index(id, record)
remove_task(id, record)
record_entry(now, 'requeue', id, state, 0, record)
if marked(record, HAS_WAITERS) then notify('done:' .. id) end
count('deleted', 1)
conclude(now)
return {state, 0}
