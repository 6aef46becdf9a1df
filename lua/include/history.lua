-- The history: `note` takes each transition down, if the queue keeps any; `inscribe` writes
-- them in their order.
local REASON, NEEDED = 100, 100
local kept, notes = nil, {}

-- Whether the queue keeps a history. Whoever reads `meta` anyway reads `kept` with it.
local function keeps()
  if not kept then kept = tonumber(redis.call('HGET', meta, 'history') or 0) end
  return kept > 0
end

-- A task's step: its codes before and after (0: none), and the record as it is now. `till`:
-- the end of a lease, or of the window of a unique key. `wanted`: ids that it waits for.
local function note(event, id, from, to, record, till, wanted)
  if kept == 0 or not keeps() then return end
  local claimed = to == ACTIVE and from == PENDING
  local entry = {
    0, event, id, from, to, record[DELIVERIES], record[ATTEMPT], record[CRASHES], record[SNOOZES],
    record[MAX_RETRY], record[MAX_CRASHES], record[PRIORITY], record[SEQ], record[RUN],
    record[EXPIRES], record[CANCEL], till or 0, claimed and record[NONCE] or '',
    claimed and record[WORKER] or '',
    (to == RETRY or to == DEAD) and record[ERROR]:sub(1, REASON) or '',
  }
  local ties = record[TIES]
  if ties then
    entry[21] = {ties[UNIQUE], ties[HOLDS], ties[LIMIT_KEY], ties[GROUP], ties[WAITS],
                 ties[LENIENT], wanted or {}}
  end
  notes[#notes + 1] = entry
end

-- A step of the queue: what was set before, and after; the key of a limit.
local function note_queue(event, key, before, after)
  if keeps() then notes[#notes + 1] = {0, event, key, before, after} end
end

local function inscribe(now)
  if #notes == 0 then return end
  local step = tonumber(redis.call('HGET', meta, 'noted') or 0)
  for _, entry in ipairs(notes) do
    step, entry[1] = step + 1, now
    redis.call('XADD', history, 'MAXLEN', '~', kept, string.format('%.0f', step),
      'entry', cmsgpack.pack(entry))
  end
  redis.call('HSET', meta, 'noted', step)
  notes = {}
end
