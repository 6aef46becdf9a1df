-- enqueue: - -> scheduled, pending
-- Adds each task whose id is new; one that exists changes nothing.
-- KEYS     1 records  2 meta  3 payloads  4 pending  5 scheduled  6 expiring
-- ARGV     1 now in ms, '' for the server's time; then three per task:
--          id, envelope, options (msgpack array: priority, max_retry, max_crashes,
--          retention, delay, run at, expires in, expires at; all times in ms)
-- RETURNS  per task the code of its state, 0 for one that exists already
-- INCLUDE  clock record requeue
local payloads, pending, scheduled, expiring = KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local now = clock(ARGV[1])

local options = {}
for i = 4, #ARGV, 3 do options[i] = cmsgpack.unpack(ARGV[i]) end

local seq = tonumber(redis.call('HGET', KEYS[2], 'seq') or 0)
local added, answers = 0, {}
for i = 4, #ARGV, 3 do
  local id, o = ARGV[i - 2], options[i]
  if redis.call('HSETNX', payloads, id, ARGV[i - 1]) == 0 then
    answers[#answers + 1] = 0
  else
    local run = o[6] > 0 and o[6] or now + o[5]
    local expires = o[8]
    if expires == 0 and o[7] > 0 then expires = now + o[7] end
    local record = {0, o[1], o[2], o[3], o[4], now, math.max(run, now), expires,
                    0, 0, 0, 0, 0, '', '', 0, 0, 0, 0, ''}
    if run > now then
      later(id, record, SCHEDULED, run, scheduled, expiring)
    else
      seq = seq + 1
      record[SEQ] = seq
      ready(id, record, pending, expiring)
    end
    added = added + 1
    answers[#answers + 1] = record[STATE]
  end
end
if added > 0 then
  redis.call('HSET', KEYS[2], 'seq', seq)
  count('enqueued', added)
end
return answers
