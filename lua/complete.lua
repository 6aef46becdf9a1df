-- complete: active -> completed, -
-- Keeps each result for the task's retention; with none, and nobody waiting, drops the task.
-- KEYS     1 records  2 meta  3 payloads  4 active  5 completed  6 results  7 progress
-- ARGV     1 now in ms, '' for the server's time; then four per outcome:
--          id, deliveries, nonce, result
-- RETURNS  per outcome the code of the state the task is in now, 0 when stale
-- INCLUDE  clock record fence finish
local payloads, active, completed = KEYS[3], KEYS[4], KEYS[5]
local results, progress = KEYS[6], KEYS[7]
local now = clock(ARGV[1])
local done, dropped, answers = 0, 0, {}
for i = 2, #ARGV, 4 do
  local id = ARGV[i]
  local record, answer = settling(id, ARGV[i + 1], ARGV[i + 2])
  if record then
    answer = COMPLETED
    done = done + 1
    redis.call('ZREM', active, id)
    local keep = math.max(record[RETENTION], record[WAITED] == 1 and GRACE or 0)
    if keep > 0 then
      record[STATE], record[FINISHED], record[ERROR] = COMPLETED, now, ''
      save(id, record)
      redis.call('HSET', results, id, ARGV[i + 3])
      redis.call('ZADD', completed, now + keep, id)
      announce(id, record)
    else
      dropped = dropped + 1
      redis.call('HDEL', KEYS[1], id)
      redis.call('HDEL', payloads, id)
      redis.call('HDEL', progress, id)
    end
  end
  answers[#answers + 1] = answer
end
if done > 0 then count('completed', done) end
if dropped > 0 then count('purged', dropped) end
return answers
