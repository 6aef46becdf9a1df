-- set_group_rules: no edge
-- Gives groups that have members their rules.
-- KEYS     all
-- ARGV     two per group: its name and its rule, a msgpack array: most members, ms from the
--          last one on, ms from the first one on
-- RETURNS  how many groups had another rule, or none
-- INCLUDE  keys record history lanes indexes
local set = 0
for i = 2, #ARGV, 2 do
  local group, rule = ARGV[i - 1], ARGV[i]
  if redis.call('ZSCORE', groups, group) and redis.call('HGET', rules, group) ~= rule then
    redis.call('HSET', rules, group, rule)
    touched_groups[group] = true
    set = set + 1
  end
end
touch_groups()
return set
