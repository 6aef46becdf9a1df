-- repair_group: no edge
-- Sets the instant at which a group becomes a batch, or removes a group without members.
-- KEYS     all
-- ARGV     1 group
-- RETURNS  1 when it changed something, 0 when there was nothing to do
-- INCLUDE  keys record history lanes indexes
local group = ARGV[1]

local function snapshot()
  return (redis.call('ZSCORE', groups, group) or '') .. ' ' .. redis.call('HEXISTS', rules, group)
end

-- If the rule cannot be unpacked, `rule` is an error's text, which is no table.
local _, rule = pcall(rule_of, group)
if type(rule) ~= 'table' or #rule ~= RULE_MAX_DELAY then return 0 end
local before = snapshot()
touched_groups[group] = true
touch_groups()
return snapshot() == before and 0 or 1
