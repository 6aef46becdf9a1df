-- revive: dead, cancelled -> pending, blocked, grouped
-- Makes tasks ready again, as if new but for their deliveries; `expires` is dropped.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time; then ids
-- RETURNS  per id the code of the state the task is in now, 0 when there is none, below 0 what
--          the record of a newer layout begins with: it stays as it is
-- INCLUDE  clock keys record history lanes places ends ripple intake
local now = clock(ARGV[1])

local function needed(id)
  return redis.call('ZRANGEBYLEX', needs, '[' .. prefix(id), '(' .. prefix(id) .. '\255')
end

-- Whether a task of this queue that this one needs did not complete.
local function failed(id)
  for _, entry in ipairs(needed(id)) do
    local queue, own = split(entry:sub(#id + 2))
    if not queue then
      local state = state_of(own)
      if not state or state == DEAD or state == CANCELLED or state == GROUPED then return true end
    end
  end
  return false
end

local function revivable(id, record)
  if record[STATE] ~= DEAD and record[STATE] ~= CANCELLED then return false end
  local ties = record[TIES]
  if not ties then return true end
  if ties[UNIQUE] ~= '' and ties[UNTIL] ~= BY_TIME then
    if holder_of(ties[UNIQUE], now) then return false end
  end
  return ties[LENIENT] == 1 or ties[WAITS] == 0 or not failed(id)
end

local answers = {}
for i = 2, #ARGV do
  local id = ARGV[i]
  local record, newer = load(id)
  if record and revivable(id, record) then
    local ties, was = record[TIES], record[STATE]
    leave(id, record)
    record[ATTEMPT], record[CRASHES], record[SNOOZES], record[CANCEL] = 0, 0, 0, 0
    record[NONCE], record[ERROR], record[EXPIRES] = '', '', 0
    record[RUN], record[FINISHED] = now, 0
    if ties and ties[UNIQUE] ~= '' and ties[UNTIL] ~= BY_TIME then
      lock(ties[UNIQUE], id, 0)
      ties[HOLDS] = 1
    end
    if ties and ties[WAITS] > 0 then
      block(id, record)
      note(now, 'revive', id, was, BLOCKED, record)
      for _, entry in ipairs(needed(id)) do look(id, entry:sub(#id + 2), now) end
      record = load(id)
    elseif ties and ties[GROUP] ~= '' then
      group_in(id, record)
      note(now, 'revive', id, was, GROUPED, record)
    else
      record[SEQ] = next_seq()
      ready(id, record)
      note(now, 'revive', id, was, PENDING, record)
    end
  end
  answers[#answers + 1] = record and record[STATE] or -(newer or 0)
end
conclude(now)
return answers
