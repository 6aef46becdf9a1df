-- series: no edge
-- Reads the samples of one level since an instant, with those that are stored together with them.
-- KEYS     1 records  2 meta  3 series
-- ARGV     1 now in ms, '' for the server's time  2 level, from 0 to 2
--          3 since when, in ms; counted from now if it is not above 0
--          4 until when, in ms; 0 for now
-- RETURNS  now in ms; the last sample, '' for none; enqueued, completed, failed, dead; then the
--          number and the samples of each chunk
-- INCLUDE  clock
local now, level, since = clock(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local lengths, kept = STEPS_OF, CHUNKS_KEPT
local length = lengths[level + 1] * SAMPLE_STEP_MS
local till = tonumber(ARGV[4])
if till == 0 or till > now then till = now end
if since <= 0 then since = now + since end
local last = math.floor(math.ceil(till / length) / STEPS_PER_CHUNK)
local first = math.max(last - kept[level + 1], math.floor(since / (length * STEPS_PER_CHUNK)))
local reply = {now, redis.call('HGET', KEYS[3], 'last') or ''}
for _, total in ipairs({'enqueued', 'completed', 'failed', 'dead'}) do
  reply[#reply + 1] = tonumber(redis.call('HGET', KEYS[2], total) or 0)
end
for number = first, last do
  local samples = redis.call('HGET', KEYS[3], level .. ':' .. number)
  if samples then
    reply[#reply + 1] = number
    reply[#reply + 1] = samples
  end
end
return reply
