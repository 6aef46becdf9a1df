-- settle: active -> completed, -, retry, dead, scheduled, pending, cancelled
-- Writes how attempts ended, each by its transition, and counts the failures by their kinds.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 transitions, and how many outcomes each has,
--          in turn, packed, and then, if any, three maps by the outcome's number: options of
--          handlers for tasks without their own (complete: retention in ms, fail: max_retry), what
--          is kept of attempts, and kind and sample of failures, in an array
--          3 '1' when tasks come in with an outcome, else '0'; then five per outcome: id,
--          deliveries, nonce, and two arguments of its transition: complete: result, children (''
--          or a msgpack array of id, envelope and options in turn), which come in with it; fail:
--          error, delay in ms ('' when the error is final); snooze: delay in ms, ''; any other:
--          '', ''
-- RETURNS  per outcome the code of the state the task is in now, 0 when stale; for a completion
--          that did not enqueue all of its children, an array of the ids of the others; then, if
--          any task died because of one that it needs, an array of the id, attempt and reason of
--          each
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake fence attempts
--          wake_on_slot
local args = ARGV
local now = clock(ARGV[1])
local completions, failures, answers = 0, 0, {}
-- Id -> the code of the state that an outcome of this call led to; 0 for a removed task.
local settled = {}

-- Arguments of commands that write many outcomes in one call: a call costs more than its work.
local left, dropped, payload_ids, saved, result_args, purge_times = {}, {}, {}, {}, {}, {}
-- The dropped tasks that had attempts before.
local failed_before = {}

local function write_outcomes()
  if #left > 0 then redis.call('ZREM', active, unpack(left)) end
  if #dropped > 0 then
    redis.call('HDEL', records, unpack(dropped))
    redis.call('HDEL', progress, unpack(dropped))
    count('purged', #dropped)
  end
  if #payload_ids > 0 then redis.call('HDEL', payloads, unpack(payload_ids)) end
  if #failed_before > 0 then redis.call('HDEL', attempts, unpack(failed_before)) end
  if #saved > 0 then
    redis.call('HSET', records, unpack(saved))
    redis.call('HSET', results, unpack(result_args))
    redis.call('ZADD', completed, unpack(purge_times))
  end
  left, dropped, payload_ids, saved, result_args, purge_times = {}, {}, {}, {}, {}, {}
  failed_before = {}
end

-- Returns whether a child is for this queue.
local function is_for_here(options)
  local relations = cmsgpack.unpack(options)[NEW_RELATIONS]
  return not relations or relations[NEW_QUEUE] == ''
end

-- Returns whether another task holds the unique key of a child.
local function finds_key_taken(options, now)
  local relations = cmsgpack.unpack(options)[NEW_RELATIONS]
  return relations and relations[NEW_UNIQUE] ~= '' and holder_of(relations[NEW_UNIQUE], now)
end

-- Returns what is noted with a completed task about the children that were not enqueued.
local function note_of(refused)
  if #refused == 0 then return '' end
  local ids = {}
  for n = 1, math.min(#refused, NOT_ENQUEUED_NAMED) do ids[n] = text_of(refused[n]) end
  return string.format(NOT_ENQUEUED, table.concat(ids, ', '))
end

-- Reads all records in one call, unless there are children: they may change any record.
local raws = nil
if ARGV[3] == '0' and #ARGV > 3 then
  local ids = {}
  for i = 4, #ARGV, 5 do ids[#ids + 1] = args[i] end
  raws = redis.call('HMGET', records, unpack(ids))
end

local runs, run, last, transition = cmsgpack.unpack(ARGV[2]), -1, 0, nil
local options, details, kinds_of, counted = {}, {}, {}, {}
if type(runs[#runs]) == 'table' then
  options, details, kinds_of = runs[#runs - 2], runs[#runs - 1], runs[#runs]
end
for i = 4, #ARGV, 5 do
  local n, id, raw = (i + 1) / 5, args[i], nil
  if n > last then
    run = run + 2
    transition, last = runs[run], last + runs[run + 1]
  end
  if raws then raw = raws[n] end
  local record, answer = find_unsettled(id, args[i + 1], args[i + 2], raw)
  if record and settled[id] then
    record, answer = nil, settled[id]
  end
  -- A task whose handler was stopped though nobody asked to cancel it stays active.
  if record and (transition ~= 'stop' or record[CANCEL] == 1) then
    local children, successor, waited, refused = nil, nil, false, {}
    local failure = kinds_of[n]
    if details[n] then
      record_attempt(id, record, now, transition, details[n], failure and failure[1])
    end
    if failure then counted[#counted + 1] = {id, failure[1], failure[2]} end
    if transition == 'complete' then
      -- The key is free for the children.
      unlock_unless_by_time(id, record)
      if args[i + 4] ~= '' then
        write_outcomes()
        save(id, record)
        children = cmsgpack.unpack(args[i + 4])
        for c = 1, #children, 3 do
          if not successor and children[c] == id and is_for_here(children[c + 2]) then
            successor = c
          elseif not enqueue_promised(children[c], children[c + 1], children[c + 2], now) then
            refused[#refused + 1] = children[c]
          end
        end
        if successor and finds_key_taken(children[successor + 2], now) then
          refused[#refused + 1] = id
          successor = nil
        end
        record = load(id)
      end
    elseif transition ~= 'fail' then
      record[ATTEMPT] = record[ATTEMPT] - 1
    end
    if record[RELATIONS] then
      leave_index(id, record)
    else
      left[#left + 1] = id
    end

    if transition == 'complete' then
      completions = completions + 1
      answer = COMPLETED
      if options[n] and record[RETENTION] == UNSET_RETENTION_MS then
        record[RETENTION] = options[n]
      end
      local grace = marked(record, HAS_WAITERS) and CANCELLED_GRACE_MS or 0
      local keep = successor and 0 or math.max(record[RETENTION], grace)
      if record[RELATIONS] then redis.call('HDEL', inputs, id) end
      if marked(record, HAS_STEPS) then
        redis.call('HDEL', steps, id)
        record[MARKS] = record[MARKS] - HAS_STEPS
      end
      settled[id] = keep > 0 and COMPLETED or 0
      if keep > 0 then
        record[STATE], record[FINISHED], record[ERROR] = COMPLETED, now, note_of(refused)
        local at = #saved
        saved[at + 1], saved[at + 2] = id, cmsgpack.pack(record)
        result_args[at + 1], result_args[at + 2] = id, args[i + 3]
        purge_times[at + 1], purge_times[at + 2] = now + keep, id
      else
        dropped[#dropped + 1] = id
        if record[ENVELOPE] == '' then payload_ids[#payload_ids + 1] = id end
        if record[DELIVERIES] > 1 then failed_before[#failed_before + 1] = id end
      end
      record_entry(now, transition, id, ACTIVE, settled[id], record)
      if successor and marked(record, HAS_WAITERS) then
        -- They wait for the successor from now on.
        waited = true
        record[MARKS] = record[MARKS] - HAS_WAITERS
      end
      announce(id, record, COMPLETED, args[i + 3])
      if successor then
        write_outcomes()
        -- All of them now: those that are left for later would be taken for the successor's.
        if marked(record, HAS_DEPENDENTS) then propagate(now, 2147483647) end
        enqueue_promised(id, children[successor + 1], children[successor + 2], now)
        if waited then
          local added = load(id)
          mark(added, HAS_WAITERS)
          save(id, added)
        end
      end
      if #refused > 0 then answer = refused end
    else
      local dies = false
      if transition == 'fail' then
        failures = failures + 1
        record[ERROR] = args[i + 3]
        -- An attempt that was made was allowed.
        if options[n] then record[MAX_RETRY] = math.max(options[n], record[ATTEMPT] - 1) end
        dies = args[i + 4] == '' or record[ATTEMPT] > record[MAX_RETRY]
      elseif transition == 'snooze' then
        record[SNOOZES] = record[SNOOZES] + 1
      end
      -- Whatever would run the task again cancels it instead, once a cancel was asked.
      if dies then
        bury(id, record, record[ERROR], now)
      elseif record[CANCEL] == 1 then
        make_cancelled(id, record, now)
      elseif transition == 'fail' then
        later(id, record, RETRY, now + tonumber(args[i + 4]))
      elseif transition == 'snooze' then
        later(id, record, SCHEDULED, now + tonumber(args[i + 3]))
      else
        ready(id, record)
      end
      answer = record[STATE]
      settled[id] = answer
      record_entry(now, transition, id, ACTIVE, answer, record)
    end
  end
  answers[#answers + 1] = answer
end
write_outcomes()
if completions > 0 then count('completed', completions) end
if failures > 0 then count('failed', failures) end
-- Counts the failures by their kinds: each kind is read and written once, however many there are.
if #counted > 0 then
  local seen, added = {}, false
  for _, failure in ipairs(counted) do
    local id, kind, sample = unpack(failure)
    if not seen[kind] then
      -- Without a field, or with a damaged one, `known` is no array of these.
      local _, known = pcall(cmsgpack.unpack, redis.call('HGET', kinds, kind))
      if type(known) ~= 'table' or type(known[KIND_COUNT]) ~= 'number'
          or type(known[KIND_IDS]) ~= 'table' then
        known, added = {0, now, sample, {}}, true
      end
      local hours, hour = known[KIND_HOURS], math.floor(now / HOUR_MS)
      if type(hours) ~= 'table' or type(hours[1]) ~= 'number' or type(hours[2]) ~= 'number' then
        hours = {hour, 0}
      end
      for _ = 1, math.min(hour - hours[1], HOURS_KEPT) do table.insert(hours, 2, 0) end
      while #hours > HOURS_KEPT + 1 do hours[#hours] = nil end
      hours[1], known[KIND_HOURS] = math.max(hours[1], hour), hours
      seen[kind] = known
    end
    local known, ids = seen[kind], {id}
    for _, other in ipairs(known[KIND_IDS]) do
      if other ~= id and #ids < KIND_TASKS then ids[#ids + 1] = other end
    end
    known[KIND_COUNT], known[KIND_IDS] = known[KIND_COUNT] + 1, ids
    known[KIND_HOURS][2] = known[KIND_HOURS][2] + 1
  end
  for kind, known in pairs(seen) do
    redis.call('HSET', kinds, kind, cmsgpack.pack(known))
    redis.call('ZADD', sightings, 'GT', now, kind)
  end
  local too_many = added and redis.call('ZCARD', sightings) - KINDS_KEPT or 0
  if too_many > 0 then
    redis.call('HDEL', kinds, unpack(redis.call('ZRANGE', sightings, 0, too_many - 1)))
    redis.call('ZREMRANGEBYRANK', sightings, 0, too_many - 1)
  end
end
count_added()
wake_on_slot(next(settled) ~= nil)
conclude(now)
if #died > 0 then answers[#answers + 1] = died end
return answers
