-- enqueue: - -> scheduled, blocked, grouped, pending, dead; scheduled, pending -> scheduled, pending
-- Adds each task whose id is new; one that exists changes nothing.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 '1' for all or nothing: a task that is
--          rejected, or exists, keeps the others out; '2' for a step: a task without room, or
--          without a task that it needs, keeps the others out. Then three per task: id,
--          envelope, options (a msgpack array, see include/intake.lua; all times in ms)
-- RETURNS  per task the code of its state, 0 for one that exists already, or an array: an
--          `AnswerKind` (1 taken, 2 replaced, 3 full, 4 missing, 5 withheld, 6 sent), the other
--          task that the answer is about, the code of its state
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake
local now = clock(ARGV[1])
local options, answers, needy = {}, {}, false
for i = 5, #ARGV, 3 do
  local o = cmsgpack.unpack(ARGV[i])
  options[i] = o
  needy = needy or o[NEW_RELATIONS] and #o[NEW_RELATIONS][NEW_NEEDS] > 0
end

read_max_pending()
local atomic, step = ARGV[2] == '1', ARGV[2] == '2'
if atomic or step and (max_pending > 0 or needy) then
  local before, refused = {ids = {}, keys = {}, ready = 0}, false
  for i = 5, #ARGV, 3 do
    local id, o = ARGV[i - 2], options[i]
    local answer = rejection(id, o, now, before)
    -- In a step, a task with a taken id or key keeps nobody out, and takes no room.
    local taken = step and (answer == 0 or answer and answer[1] == TAKEN)
    refused = refused or answer ~= nil and not taken
    answers[#answers + 1] = not taken and answer or {WITHHELD, '', 0}
    if atomic or not answer then add_preceding(id, o, now, before) end
  end
  if refused then return answers end
  answers = {}
end
for i = 5, #ARGV, 3 do
  local id, o = ARGV[i - 2], options[i]
  -- A task with relations, or under `max_pending`, must see the tasks before it.
  local can_buffer = not o[NEW_RELATIONS] and max_pending == 0
  if not can_buffer then write_buffered() end
  local answer = false
  if not can_buffer and step then
    -- Before its unique key is looked at: an id that exists replaces no holder.
    local here = not o[NEW_RELATIONS] or o[NEW_RELATIONS][NEW_QUEUE] == ''
    answer = here and redis.call('HEXISTS', records, id) == 1 and 0
  elseif not can_buffer and not atomic then
    answer = rejection(id, o, now)
  end
  answers[#answers + 1] = answer or insert(id, ARGV[i - 1], ARGV[i], o, now, can_buffer)
end
write_buffered()
count_added()
conclude(now)
return answers
