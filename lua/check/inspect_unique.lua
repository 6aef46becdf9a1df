-- inspect_unique: no edge
-- Reads unique keys, each with its holder as one consistent view.
-- KEYS     all
-- ARGV     unique keys, one per argument
-- RETURNS  per key an array, each '' when missing: id of its holder, when its window ends as
--          text, the holder's record
-- INCLUDE  keys record
local answers = {}
for i = 1, #ARGV do
  local holder = redis.call('HGET', unique, ARGV[i])
  answers[i] = {
    holder or '', redis.call('ZSCORE', locks, ARGV[i]) or '',
    holder and redis.call('HGET', records, holder) or '',
  }
end
return answers
