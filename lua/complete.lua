-- complete: active -> completed, -
-- Keeps each result for the task's retention; with none, and nobody waiting, drops the task.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then five per outcome:
--          id, deliveries, nonce, result, children ('' or a msgpack array of id, envelope
--          and options in turn), which come in with it
-- RETURNS  per outcome the code of the state the task is in now, 0 when stale
-- INCLUDE  clock keys record lanes places ends ripple intake fence freed
local now = clock(ARGV[1])
local done, dropped, answers = 0, 0, {}
for i = 2, #ARGV, 5 do
  local id = ARGV[i]
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2])
  if record then
    -- The key is free for the children.
    unlock_unless_by_time(id, record)
    if ARGV[i + 4] ~= '' then
      save(id, record)
      local children = cmsgpack.unpack(ARGV[i + 4])
      for n = 1, #children, 3 do admit(children[n], children[n + 1], children[n + 2], now) end
      record = load(id)
    end
    answer = COMPLETED
    done = done + 1
    leave(id, record)
    local keep = math.max(record[RETENTION], marked(record, WAITED) and GRACE or 0)
    if keep > 0 then
      record[STATE], record[FINISHED], record[ERROR] = COMPLETED, now, ''
      if marked(record, STEPPED) then
        redis.call('HDEL', steps, id)
        record[MARKS] = record[MARKS] - STEPPED
      end
      if record[TIES] then redis.call('HDEL', inputs, id) end
      save(id, record)
      redis.call('HSET', results, id, ARGV[i + 3])
      redis.call('ZADD', completed, now + keep, id)
    else
      dropped = dropped + 1
      drop(id, record)
    end
    announce(id, record, COMPLETED, ARGV[i + 3])
  end
  answers[#answers + 1] = answer
end
if done > 0 then count('completed', done) end
if dropped > 0 then count('purged', dropped) end
count_added()
freed(done > 0)
conclude(now)
return answers
