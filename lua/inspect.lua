-- inspect: no edge
-- Reads tasks whole, each as one consistent picture, wherever they are listed.
-- KEYS     1 records  2 meta  3 payloads  4 results  5 progress  6 expiring  7 pending
--          8 scheduled  9 retry  10 active  11 completed  12 dead  13 cancelled
-- ARGV     ids
-- RETURNS  per id an array: record, envelope, result, progress (each '' when missing),
--          then its scores in KEYS 6 to 13 as text, '' where it is not listed
local answers = {}
for i = 1, #ARGV do
  local id = ARGV[i]
  local picture = {}
  for n, key in ipairs({KEYS[1], KEYS[3], KEYS[4], KEYS[5]}) do
    picture[n] = redis.call('HGET', key, id) or ''
  end
  for n = 6, 13 do picture[n - 1] = redis.call('ZSCORE', KEYS[n], id) or '' end
  answers[i] = picture
end
return answers
