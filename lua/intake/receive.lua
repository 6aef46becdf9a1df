-- receive: no edge
-- Handles messages of another queue, oldest first; one that was handled before changes nothing.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 the sender; then per message:
--          number, receiver, kind and contents, packed
-- RETURNS  the number of the last message that was handled, now or before; then the numbers of
--          those whose task was not enqueued, because its id exists or its unique key is taken;
--          then, if any task died because of one that it needs, an array of the id, attempt and
--          reason of each
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake
local now, sender = clock(ARGV[1]), ARGV[2]
local known = tonumber(redis.call('HGET', received, sender) or 0)
local last, answer = known, {0}
for i = 3, #ARGV do
  local message = cmsgpack.unpack(ARGV[i])
  local number, kind = message[MAIL_SEQ], message[MAIL_KIND]
  if number > last then
    last = number
    if kind == TASK then
      local id, envelope, options = message[MAIL_ID], message[MAIL_ENVELOPE], message[MAIL_OPTIONS]
      if not enqueue_promised(id, envelope, options, now) then answer[#answer + 1] = number end
    elseif kind == SUBSCRIBE then
      subscribe(message[MAIL_REF], sender .. '/' .. message[MAIL_ID], now,
        message[MAIL_RESULT] == ASKS_AGAIN)
    else
      resolve(message[MAIL_ID], sender .. '/' .. message[MAIL_REF], message[MAIL_ENDED_AS],
        message[MAIL_RESULT], now)
    end
  end
end
if last > known then redis.call('HSET', received, sender, last) end
count_added()
conclude(now)
answer[1] = last
if #died > 0 then answer[#answer + 1] = died end
return answer
