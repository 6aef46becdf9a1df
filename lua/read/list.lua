-- list: no edge
-- Lists ids of the tasks in one state, in the order of its index: pending ones without a
-- limit key first, then key by key; grouped ones group by group.
-- KEYS     1 records  2 meta  3 index (of the state)  4 keyed
-- ARGV     1 limit, 1 to 1000  2 id after which to begin, '' for the beginning
--          3 the state: 'pending', 'grouped' or '' for any other  4 '', or the score of the place
--          after which to begin, whether the id is still there or not
--          5 the limit key or the group of that place, '' without
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

-- Returns whether a member comes after another in an index; Lua compares texts by the locale.
local function follows(one, other)
  for at = 1, math.min(#one, #other) do
    local a, b = one:byte(at), other:byte(at)
    if a ~= b then return a > b end
  end
  return #one > #other
end

-- Returns how many members of an index stand at the place of ARGV or before it.
local function count_until(index, by_name)
  local at, lane = ARGV[4], ARGV[5]
  if by_name then
    return redis.call('ZLEXCOUNT', index, '-', '[' .. member(lane, tonumber(at), after))
  end
  local low = redis.call('ZCOUNT', index, '-inf', '(' .. at)
  local high = redis.call('ZCOUNT', index, '-inf', at)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if follows(redis.call('ZRANGE', index, middle, middle)[1], after) then
      high = middle
    else
      low = middle + 1
    end
  end
  return low
end

local found, begun, placed = {}, after == '', ARGV[4] ~= ''
for n, index in ipairs(state == 'pending' and {KEYS[3], KEYS[4]} or {KEYS[3]}) do
  local by_name, start = state == 'grouped' or n == 2, 0
  if not begun and placed then
    begun = by_name or ARGV[5] == ''
    start = begun and count_until(index, by_name)
  elseif not begun then
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
