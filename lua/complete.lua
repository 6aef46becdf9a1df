-- complete: active -> completed, -
-- Keeps each result for the task's retention; with none, and nobody waiting, drops the task.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then five per outcome:
--          id, deliveries, nonce, result, children ('' or a msgpack array of id, envelope
--          and options in turn), which come in with it
-- RETURNS  per outcome the code of the state the task is in now, 0 when stale
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake fence wake_on_slot
local now = clock(ARGV[1])
local done, answers = 0, {}

-- What is written for many at once: a command costs more than its work.
local left, dropped, bulky, saved, kept, ends = {}, {}, {}, {}, {}, {}
local settled = {}

local function write()
  if #left > 0 then redis.call('ZREM', active, unpack(left)) end
  if #dropped > 0 then
    redis.call('HDEL', records, unpack(dropped))
    redis.call('HDEL', progress, unpack(dropped))
    count('purged', #dropped)
  end
  if #bulky > 0 then redis.call('HDEL', payloads, unpack(bulky)) end
  if #saved > 0 then
    redis.call('HSET', records, unpack(saved))
    redis.call('HSET', results, unpack(kept))
    redis.call('ZADD', completed, unpack(ends))
  end
  left, dropped, bulky, saved, kept, ends = {}, {}, {}, {}, {}, {}
end

-- Read together, unless children come in between, which may touch any record.
local ids, raws = {}, nil
for i = 2, #ARGV, 5 do
  if ARGV[i + 4] ~= '' then
    ids = {}
    break
  end
  ids[#ids + 1] = ARGV[i]
end
if #ids > 0 then raws = redis.call('HMGET', records, unpack(ids)) end

for i = 2, #ARGV, 5 do
  local id, raw = ARGV[i], nil
  if raws then raw = raws[(i + 3) / 5] end
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2], raw)
  if record and settled[id] then
    record, answer = nil, settled[id]
  end
  if record then
    -- The key is free for the children.
    unlock_unless_by_time(id, record)
    if ARGV[i + 4] ~= '' then
      write()
      save(id, record)
      local children = cmsgpack.unpack(ARGV[i + 4])
      for n = 1, #children, 3 do
        enqueue_promised(children[n], children[n + 1], children[n + 2], now)
      end
      record = load(id)
    end
    answer = COMPLETED
    done = done + 1
    local keep = math.max(record[RETENTION], marked(record, HAS_WAITERS) and GRACE or 0)
    if record[RELATIONS] then
      leave_index(id, record)
      redis.call('HDEL', inputs, id)
    else
      left[#left + 1] = id
    end
    if marked(record, HAS_STEPS) then
      redis.call('HDEL', steps, id)
      record[MARKS] = record[MARKS] - HAS_STEPS
    end
    settled[id] = keep > 0 and COMPLETED or 0
    if keep > 0 then
      record[STATE], record[FINISHED], record[ERROR] = COMPLETED, now, ''
      local n = #saved
      saved[n + 1], saved[n + 2] = id, cmsgpack.pack(record)
      kept[n + 1], kept[n + 2] = id, ARGV[i + 3]
      ends[n + 1], ends[n + 2] = now + keep, id
    else
      dropped[#dropped + 1] = id
      if record[ENVELOPE] == '' then bulky[#bulky + 1] = id end
    end
    record_entry(now, 'complete', id, ACTIVE, settled[id], record)
    announce(id, record, COMPLETED, ARGV[i + 3])
  end
  answers[#answers + 1] = answer
end
write()
if done > 0 then count('completed', done) end
count_added()
wake_on_slot(done > 0)
conclude(now)
return answers
