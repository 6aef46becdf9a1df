-- list: no edge
-- Gives ids of the tasks in one state, in the order of its index: pending ones without a
-- limit key first, then key by key; grouped ones group by group.
-- KEYS     1 records  2 meta  3 index (of the state)  4 keyed
-- ARGV     1 limit, 1 to 1000  2 id after which to begin, '' for the beginning
--          3 the state: 'pending', 'grouped' or '' for any other
-- RETURNS  array of ids; an error reply when the id in ARGV 2 is not in the index
-- INCLUDE  record
local limit, after, state = tonumber(ARGV[1]), ARGV[2], ARGV[3]

-- The member that stands for a task in an index that is ordered by name and place.
local function named(id)
  local record = load(id)
  local relations = record and record[RELATIONS]
  if not relations then return nil end
  if state == 'grouped' then return member(relations[GROUP], record[SEQ], id) end
  return member(relations[LIMIT_KEY], score(record), id)
end

local function page(index, first)
  if limit <= 0 then return {} end
  local start = 0
  if first then
    start = redis.call('ZRANK', index, first)
    if not start then return nil end
    start = start + 1
  end
  local found = redis.call('ZRANGE', index, start, start + limit - 1)
  limit = limit - #found
  return found
end

local function ids_of(members)
  for i, entry in ipairs(members) do members[i] = entry:sub(entry:byte(1) + 18) end
  return members
end

local first = after ~= '' and after or nil
if state == 'grouped' then
  local found = page(KEYS[3], first and (named(first) or ''))
  return found and ids_of(found) or redis.error_reply('NOTLISTED')
end
local found = page(KEYS[3], first)
if state ~= 'pending' then return found or redis.error_reply('NOTLISTED') end
if found then first = nil end
local more = page(KEYS[4], first and (named(first) or ''))
if not more then return redis.error_reply('NOTLISTED') end
found = found or {}
for _, id in ipairs(ids_of(more)) do found[#found + 1] = id end
return found
