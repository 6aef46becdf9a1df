-- retract_others: no edge
-- Removes what an owner declared and does not name any more, unless it is to be kept.
-- KEYS     1 records  2 meta  3 schedules  4 ticks
-- ARGV     1 owner; then per schedule that it still declares: its name
-- RETURNS  the names of those that went
-- INCLUDE  record schedule
local named, gone = {}, {}
for i = 2, #ARGV do named[ARGV[i]] = true end
for _, name in ipairs(redis.call('HKEYS', KEYS[3])) do
  local schedule = not named[name] and load_schedule(KEYS[3], name)
  if schedule and schedule[OWNER] == ARGV[1] and schedule[KEEP] == 0 then
    gone[#gone + 1] = name
    redis.call('HDEL', KEYS[3], name)
    redis.call('ZREM', KEYS[4], name)
  end
end
return gone
