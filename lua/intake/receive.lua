-- receive: no edge
-- Accepts messages of another queue, oldest first; an older number changes nothing.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 the sender; then per message:
--          number, receiver, kind and contents, packed
-- RETURNS  the number of the last message accepted, now or before
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake
local now, sender = clock(ARGV[1]), ARGV[2]
local known = tonumber(redis.call('HGET', received, sender) or 0)
local last = known
for i = 3, #ARGV do
  local message = cmsgpack.unpack(ARGV[i])
  local number, kind = message[MAIL_SEQ], message[MAIL_KIND]
  if number > last then
    last = number
    if kind == TASK then
      enqueue_promised(message[MAIL_ID], message[MAIL_ENVELOPE], message[MAIL_OPTIONS], now)
    elseif kind == SUBSCRIBE then
      subscribe(message[MAIL_REF], sender .. '/' .. message[MAIL_ID], now)
    else
      resolve(message[MAIL_ID], sender .. '/' .. message[MAIL_REF], message[MAIL_ENDED_AS],
        message[MAIL_RESULT], now)
    end
  end
end
if last > known then redis.call('HSET', received, sender, last) end
count_added()
conclude(now)
return last
