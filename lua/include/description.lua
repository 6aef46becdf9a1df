-- Returns a task with what its queue knows about it beside its record: what `contents_of` returns; its
-- unique key's holder, '' for none, and when the key's window ends in ms as text, '' for never; how
-- many tasks wait for its end; an array of references to them; an array of references to the tasks
-- that it waits for, each followed by the code of its state, 0 when unknown.
local function description_of(id)
  local record, start = load(id), prefix(id)
  local relations = record and record[RELATIONS]
  local holder, ends = '', ''
  if relations then
    holder = redis.call('HGET', unique, relations[UNIQUE]) or ''
    ends = redis.call('ZSCORE', locks, relations[UNIQUE]) or ''
  end
  local waiting, needed = with_prefix(edges, start, NAMED_RELATED), {}
  for n, entry in ipairs(waiting) do waiting[n] = entry:sub(#start + 1) end
  for n, entry in ipairs(with_prefix(needs, start, NAMED_RELATED)) do
    local ref = entry:sub(#start + 1)
    -- No task of this queue has the reference to one of another queue as its id.
    needed[2 * n - 1], needed[2 * n] = ref, n <= NEEDS_READ and state_of(ref) or 0
  end
  local total = redis.call('ZLEXCOUNT', edges, '[' .. start, '(' .. start .. '\255')
  return {contents_of(id), holder, ends, total, waiting, needed}
end
