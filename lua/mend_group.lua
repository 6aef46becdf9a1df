-- mend_group: no edge
-- Notes when a group becomes a batch, or that it has no members.
-- KEYS     all
-- ARGV     1 group
-- RETURNS  1 when that changed something, 0 when there was nothing to do
-- INCLUDE  keys record history lanes indexes
local group = ARGV[1]

local function sight()
  return (redis.call('ZSCORE', groups, group) or '') .. ' ' .. redis.call('HEXISTS', rules, group)
end

-- What cannot be unpacked gives an error's text in its place, which is no table.
local _, rule = pcall(rule_of, group)
if type(rule) ~= 'table' or #rule ~= 3 then return 0 end
local before = sight()
touched_groups[group] = true
touch_groups()
return sight() == before and 0 or 1
