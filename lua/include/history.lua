-- How many entries of its history the queue keeps, read when first needed, or with other fields of
-- `meta` before. Then the number of the last entry, once this call has written one.
local history_size, last_entry = nil, nil

-- Writes one entry: the transition of a task, the codes of its states before and after (0 for no
-- task), its record after it, the end of its lease or of its key's window, and two lists of tasks
-- that it waits for. An entry of the queue has {key, value before, value after} in place of the
-- record. Keys are named by KEYS here, because every file-level local that a function captures
-- adds to the cost of every call.
local function record_entry(now, transition, id, from, to, record, ends_at, needed, awaited)
  if not history_size then history_size = tonumber(redis.call('HGET', KEYS[2], 'history') or 0) end
  if history_size == 0 then return end
  local entry = {now, transition, record[1], record[2], record[3]}
  if id then
    local claimed = to == ACTIVE and from == PENDING
    entry = {
      now, transition, id, from, to, record[DELIVERIES], record[ATTEMPT], record[CRASHES],
      record[SNOOZES], record[MAX_RETRY], record[MAX_CRASHES], record[PRIORITY], record[SEQ],
      record[RUN], record[EXPIRES], record[CANCEL], ends_at or 0, claimed and record[NONCE] or '',
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
  redis.call('XADD', KEYS[#KEYS], 'MAXLEN', '~', history_size, string.format('%.0f', last_entry),
    'entry', cmsgpack.pack(entry))
end
