-- receive: no edge
-- Takes in messages of another queue, oldest first; one that came before changes nothing.
-- KEYS     all
-- ARGV     1 now in ms, '' for the server's time  2 the sender; then per message:
--          number, receiver, kind and what is told, packed
-- RETURNS  the number of the last message taken in, now or before
-- INCLUDE  clock keys record history lanes indexes terminal propagate intake
local now, sender = clock(ARGV[1]), ARGV[2]
local known = tonumber(redis.call('HGET', received, sender) or 0)
local last = known
for i = 3, #ARGV do
  local message = cmsgpack.unpack(ARGV[i])
  local number, kind = message[1], message[3]
  if number > last then
    last = number
    if kind == TASK then
      enqueue_promised(message[4], message[5], message[6], now)
    elseif kind == SUBSCRIBE then
      subscribe(message[5], sender .. '/' .. message[4], now)
    else
      resolve(message[4], sender .. '/' .. message[5], message[6], message[7], now)
    end
  end
end
if last > known then redis.call('HSET', received, sender, last) end
count_added()
conclude(now)
return last
