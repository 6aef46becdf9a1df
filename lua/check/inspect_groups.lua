-- inspect_groups: no edge
-- Reads groups, each as one consistent view.
-- KEYS     all
-- ARGV     groups, one name per argument
-- RETURNS  per group an array: how many members it has; then, '' when missing, its rule, its
--          score in groups as text, the records of its first and of its last member
-- INCLUDE  keys record
local answers = {}
for i = 1, #ARGV do
  local group = ARGV[i]
  local start = prefix(group)
  local low, high = '[' .. start, '(' .. start .. '\255'
  local first = redis.call('ZRANGEBYLEX', grouped, low, high, 'LIMIT', 0, 1)[1]
  local last = redis.call('ZREVRANGEBYLEX', grouped, high, low, 'LIMIT', 0, 1)[1]
  answers[i] = {
    redis.call('ZLEXCOUNT', grouped, low, high), redis.call('HGET', rules, group) or '',
    redis.call('ZSCORE', groups, group) or '',
    first and redis.call('HGET', records, first:sub(#group + 18)) or '',
    last and redis.call('HGET', records, last:sub(#group + 18)) or '',
  }
end
return answers
