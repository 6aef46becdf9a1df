-- A schedule: a msgpack array in `schedules`, in the order of SCHEDULE_FIELDS. When it ticks
-- is no business of a script: WHEN is compared and never read. The tick that is expected
-- is its score in `ticks`; one that expects none, as while it is paused, is not there.
local types_of_fields = SCHEDULE_TYPES

-- The schedule, or nil when there is none, or the bytes are not one. One of a newer format N
-- begins with FORMAT_STEP * (N - 1), a number: nil too, and behind that the number.
local function load_schedule(key, name)
  local raw = redis.call('HGET', key, name)
  if not raw then return nil end
  local good, schedule = pcall(cmsgpack.unpack, raw)
  if not good or type(schedule) ~= 'table' then return nil end
  local begins = schedule[WHEN]
  if type(begins) == 'number' and begins >= FORMAT * FORMAT_STEP then return nil, begins end
  if #schedule ~= REVISION then return nil end
  for n = 1, REVISION do
    if type(schedule[n]) ~= types_of_fields[n] then return nil end
  end
  return schedule
end

local function save_schedule(key, name, schedule)
  redis.call('HSET', key, name, cmsgpack.pack(schedule))
end

-- Sets the tick to expect, and gives it: 0 for none, and later than all that have fired.
local function expect(key, name, schedule, at)
  if at == 0 or schedule[PAUSED] == 1 then
    redis.call('ZREM', key, name)
    return 0
  end
  at = math.max(at, schedule[LAST] + 1)
  redis.call('ZADD', key, at, name)
  return at
end
