-- list: no edge
-- Lists ids of the tasks in one state, in the order of its index: pending ones without a
-- limit key first, then key by key; grouped ones group by group.
-- KEYS     1 records  2 meta  3 index (of the state)  4 keyed
-- ARGV     1 limit, 1 to 1000  2 id after which to begin, '' for the beginning
--          3 the state: 'pending', 'grouped' or '' for any other
-- RETURNS  array of ids; an error reply when the id in ARGV 2 is not in the index
-- INCLUDE  record
local limit, after, state = tonumber(ARGV[1]), ARGV[2], ARGV[3]

-- Returns the member that stands for a task in an index that is ordered by name and rank.
local function member_of(id)
  local record = load(id)
  local relations = record and record[RELATIONS]
  if not relations then return '' end
  if state == 'grouped' then return member(relations[GROUP], record[SEQ], id) end
  return member(relations[LIMIT_KEY], score(record), id)
end

local found, begun = {}, after == ''
for n, index in ipairs(state == 'pending' and {KEYS[3], KEYS[4]} or {KEYS[3]}) do
  local by_name, start = state == 'grouped' or n == 2, 0
  if not begun then
    begun = redis.call('ZRANK', index, by_name and member_of(after) or after)
    start = begun and begun + 1
  end
  if begun and #found < limit then
    for _, entry in ipairs(redis.call('ZRANGE', index, start, start + limit - #found - 1)) do
      found[#found + 1] = by_name and entry:sub(entry:byte(1) + 18) or entry
    end
  end
end
return begun and found or redis.error_reply('NOTLISTED')
