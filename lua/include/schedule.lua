-- A schedule is a msgpack array in `schedules`, in the order of SCHEDULE_FIELDS. Scripts compare
-- WHEN and never read it: workers compute when a schedule ticks. Its score in `ticks` is the tick
-- that it expects; a schedule that expects none, as while it is paused, is not there.
local types_of_fields = SCHEDULE_TYPES

-- Returns the schedule, or nil if there is none, or the bytes are not one. A schedule of a newer
-- format N begins with the number FORMAT_STEP * (N - 1): returns nil and that number.
local function load_schedule(key, name)
  -- If there is none, or none to unpack, `schedule` is an error's text, which is no table.
  local _, schedule = pcall(cmsgpack.unpack, redis.call('HGET', key, name))
  if type(schedule) ~= 'table' then return nil end
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

-- Sets the tick to expect, later than all that have fired, and returns it; 0 for none.
local function expect(key, name, schedule, at)
  if at == 0 or schedule[PAUSED] == 1 then
    redis.call('ZREM', key, name)
    return 0
  end
  at = math.max(at, schedule[LAST] + 1)
  redis.call('ZADD', key, at, name)
  return at
end
