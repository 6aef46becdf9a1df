-- enqueue: - -> scheduled, blocked, grouped, pending, dead; scheduled, pending -> scheduled, pending
-- Adds each task whose id is new; one that exists changes nothing.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 '1' when one that is refused, or exists,
--          keeps the others out; then three per task:
--          id, envelope, options (a msgpack array, see include/intake.lua; all times in ms)
-- RETURNS  per task the code of its state, 0 for one that exists already, or an array: why
--          not (1 taken, 2 replaced, 3 full, 4 missing, 5 withheld, 6 sent), the task that
--          is meant, the code of its state
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake
local now = clock(ARGV[1])
local options, answers = {}, {}
for i = 5, #ARGV, 3 do options[i] = cmsgpack.unpack(ARGV[i]) end

read_bound()
local atomic = ARGV[2] == '1'
if atomic then
  local before, refused = {ids = {}, keys = {}, ready = 0}, false
  for i = 5, #ARGV, 3 do
    local id, o = ARGV[i - 2], options[i]
    local answer = rejection(id, o, now, before)
    refused = refused or answer ~= nil
    answers[#answers + 1] = answer or {WITHHELD, '', 0}
    add_preceding(id, o, now, before)
  end
  if refused then return answers end
  answers = {}
end
for i = 5, #ARGV, 3 do
  local id, o = ARGV[i - 2], options[i]
  -- One that is tied, or counted, looks at those before it.
  local alone = not o[NEW_RELATIONS] and most == 0
  if not alone then write_together() end
  local answer = not atomic and not alone and rejection(id, o, now)
  answers[#answers + 1] = answer or insert(id, ARGV[i - 1], ARGV[i], o, now, alone)
end
write_together()
count_added()
conclude(now)
return answers
