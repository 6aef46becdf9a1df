-- settle: active -> completed, -, retry, dead, scheduled, pending, cancelled
-- Writes how attempts ended, each by its transition.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then six per outcome:
--          id, deliveries, nonce, the transition's name, and two arguments of it:
--          complete: result, children ('' or a msgpack array of id, envelope and options in
--          turn), which come in with it; fail: error, delay in ms ('' when the error is final);
--          snooze: delay in ms, ''; any other: '', ''
-- RETURNS  per outcome the code of the state the task is in now, 0 when stale
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake fence wake_on_slot
local now = clock(ARGV[1])
local completions, failures, answers = 0, 0, {}
-- Id -> the code of the state that an outcome of this call led to; 0 for a removed task.
local settled = {}

-- Arguments of commands that write many outcomes in one call: a call costs more than its work.
local left, dropped, payload_ids, saved, result_args, purge_times = {}, {}, {}, {}, {}, {}

local function write_outcomes()
  if #left > 0 then redis.call('ZREM', active, unpack(left)) end
  if #dropped > 0 then
    redis.call('HDEL', records, unpack(dropped))
    redis.call('HDEL', progress, unpack(dropped))
    count('purged', #dropped)
  end
  if #payload_ids > 0 then redis.call('HDEL', payloads, unpack(payload_ids)) end
  if #saved > 0 then
    redis.call('HSET', records, unpack(saved))
    redis.call('HSET', results, unpack(result_args))
    redis.call('ZADD', completed, unpack(purge_times))
  end
  left, dropped, payload_ids, saved, result_args, purge_times = {}, {}, {}, {}, {}, {}
end

-- Reads all records in one call, unless there are children: they may change any record.
local ids, raws = {}, nil
for i = 2, #ARGV, 6 do
  if ARGV[i + 5] ~= '' and ARGV[i + 3] == 'complete' then
    ids = {}
    break
  end
  ids[#ids + 1] = ARGV[i]
end
if #ids > 0 then raws = redis.call('HMGET', records, unpack(ids)) end

for i = 2, #ARGV, 6 do
  local id, transition, raw = ARGV[i], ARGV[i + 3], nil
  if raws then raw = raws[(i + 4) / 6] end
  local record, answer = find_unsettled(id, ARGV[i + 1], ARGV[i + 2], raw)
  if record and settled[id] then
    record, answer = nil, settled[id]
  end
  -- A task whose handler was stopped though nobody asked to cancel it stays active.
  if record and (transition ~= 'stop' or record[CANCEL] == 1) then
    if transition == 'complete' then
      -- The key is free for the children.
      unlock_unless_by_time(id, record)
      if ARGV[i + 5] ~= '' then
        write_outcomes()
        save(id, record)
        local children = cmsgpack.unpack(ARGV[i + 5])
        for n = 1, #children, 3 do
          enqueue_promised(children[n], children[n + 1], children[n + 2], now)
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
      local grace = marked(record, HAS_WAITERS) and CANCELLED_GRACE_MS or 0
      local keep = math.max(record[RETENTION], grace)
      if record[RELATIONS] then redis.call('HDEL', inputs, id) end
      if marked(record, HAS_STEPS) then
        redis.call('HDEL', steps, id)
        record[MARKS] = record[MARKS] - HAS_STEPS
      end
      settled[id] = keep > 0 and COMPLETED or 0
      if keep > 0 then
        record[STATE], record[FINISHED], record[ERROR] = COMPLETED, now, ''
        local n = #saved
        saved[n + 1], saved[n + 2] = id, cmsgpack.pack(record)
        result_args[n + 1], result_args[n + 2] = id, ARGV[i + 4]
        purge_times[n + 1], purge_times[n + 2] = now + keep, id
      else
        dropped[#dropped + 1] = id
        if record[ENVELOPE] == '' then payload_ids[#payload_ids + 1] = id end
      end
      record_entry(now, transition, id, ACTIVE, settled[id], record)
      announce(id, record, COMPLETED, ARGV[i + 4])
    else
      local dies = false
      if transition == 'fail' then
        failures = failures + 1
        record[ERROR] = ARGV[i + 4]
        dies = ARGV[i + 5] == '' or record[ATTEMPT] > record[MAX_RETRY]
      elseif transition == 'snooze' then
        record[SNOOZES] = record[SNOOZES] + 1
      end
      -- Whatever would run the task again cancels it instead, once a cancel was asked.
      if dies then
        bury(id, record, record[ERROR], now)
      elseif record[CANCEL] == 1 then
        make_cancelled(id, record, now)
      elseif transition == 'fail' then
        later(id, record, RETRY, now + tonumber(ARGV[i + 5]))
      elseif transition == 'snooze' then
        later(id, record, SCHEDULED, now + tonumber(ARGV[i + 4]))
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
count_added()
wake_on_slot(next(settled) ~= nil)
conclude(now)
return answers
