-- groups: no edge
-- Reads the groups that have members, the one that is due first before the others.
-- KEYS     all
-- ARGV     1 how many to pass over  2 limit, 1 to 1000
-- RETURNS  per group an array: name, rule ('' for none), size, when it is due as text, in ms
-- INCLUDE  keys record
local start, answers = tonumber(ARGV[1]), {}
local found = redis.call('ZRANGE', groups, start, start + ARGV[2] - 1, 'WITHSCORES')
for i = 2, #found, 2 do
  local group, at = found[i - 1], found[i]
  local low = prefix(group)
  local size = redis.call('ZLEXCOUNT', grouped, '[' .. low, '(' .. low .. '\255')
  answers[i / 2] = {group, redis.call('HGET', rules, group) or '', size, at}
end
return answers
