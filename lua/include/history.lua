-- The history, where the queue keeps one: how many entries (read when first needed; whoever
-- reads `meta` before reads it too) and, once there is a new one, the number of the last.
local kept, last_entry = nil, nil

-- Writes the step of a task: codes of its states before and after (0: none), its record as it
-- is now, the end of its lease or of its key's window, and what it waits for, in two lists. A
-- step of the queue has a setting for a record: {key, what it was, what it is}. It names the
-- keys by KEYS, because each local that functions name costs every script a little.
local function record_entry(now, transition, id, from, to, record, till, needed, awaited)
  if not kept then kept = tonumber(redis.call('HGET', KEYS[2], 'history') or 0) end
  if kept == 0 then return end
  local entry = {now, transition, record[1], record[2], record[3]}
  if id then
    local claimed = to == ACTIVE and from == PENDING
    entry = {
      now, transition, id, from, to, record[DELIVERIES], record[ATTEMPT], record[CRASHES],
      record[SNOOZES], record[MAX_RETRY], record[MAX_CRASHES], record[PRIORITY], record[SEQ],
      record[RUN], record[EXPIRES], record[CANCEL], till or 0, claimed and record[NONCE] or '',
      claimed and record[WORKER] or '',
      (to == RETRY or to == DEAD) and record[ERROR]:sub(1, REASON_BYTES) or '',
    }
    local relations, wanted = record[RELATIONS], {}
    for _, refs in ipairs({needed, awaited}) do
      for n = 1, math.min(#refs, MOST_NEEDS - #wanted) do wanted[#wanted + 1] = refs[n] end
    end
    if relations then
      entry[ENTRY_RELATIONS] = {
        relations[UNIQUE], relations[OWNS_UNIQUE_KEY], relations[LIMIT_KEY], relations[GROUP],
        relations[WAITS], relations[RUN_ON_DEPENDENCY_FAILURE], wanted,
      }
    end
  end
  last_entry = (last_entry or tonumber(redis.call('HGET', KEYS[2], 'noted') or 0)) + 1
  redis.call('XADD', KEYS[#KEYS], 'MAXLEN', '~', kept, string.format('%.0f', last_entry), 'entry',
    cmsgpack.pack(entry))
end
