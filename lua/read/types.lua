-- types: no edge
-- Reads what is kept of the attempts by type, the first steps since an instant.
-- KEYS     1 types
-- ARGV     1 now in ms, '' for the server's time  2 since when, in ms; counted from now if it is
--          not above 0
-- RETURNS  now in ms; from when on to read the next steps, 0 for none; the step in progress and
--          the types that are kept, '' for none; how many types have counts in that step, then
--          index and counts of each; then number and cells of each step that has ended
-- INCLUDE  clock
local now, since, types = clock(ARGV[1]), tonumber(ARGV[2]), KEYS[1]
local stored = redis.call('HMGET', types, 'head', 'kept')
local _, head = pcall(cmsgpack.unpack, stored[1])
if type(head) ~= 'table' then head = {TYPES_FORMAT, -1} end
if head[1] ~= TYPES_FORMAT then return {now, 0, '', '', 0} end
local last = math.max(math.floor(now / TYPES_STEP_MS), head[2])
if since <= 0 then since = now + since end
local first = math.max(last - TYPES_STEPS, math.floor(since / TYPES_STEP_MS))
local till = math.min(last, first + STEPS_READ - 1)
local following = till < last and (till + 1) * TYPES_STEP_MS or 0
local reply = {now, following, stored[1] or '', stored[2] or '', 0}
if first <= head[2] and head[2] <= till then
  for index = 0, TYPES_KEPT do
    local counts = redis.call('HGET', types, 'o' .. index)
    if counts then
      reply[5] = reply[5] + 1
      reply[#reply + 1] = index
      reply[#reply + 1] = counts
    end
  end
end
for step = first, till do
  local cells = redis.call('HGET', types, 's' .. step)
  if cells then
    reply[#reply + 1] = step
    reply[#reply + 1] = cells
  end
end
return reply
