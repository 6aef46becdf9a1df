-- inspect_messages: no edge
-- Reads messages, ends of tasks of which dependents are still to be notified, and the last numbers
-- of senders.
-- KEYS     1 records  2 meta  3 outbox  4 endings  5 received
-- ARGV     two per item: 'outbox' or 'endings' and its number, or 'received' and a queue
-- RETURNS  the number of the last message, that of the last ending; then per item an array of
--          what is there
-- INCLUDE  record
local last = redis.call('HMGET', KEYS[2], 'sent', 'rippled')
local reply = {last[1] or 0, last[2] or 0}
for i = 1, #ARGV, 2 do
  local name = ARGV[i + 1]
  if ARGV[i] == 'received' then
    reply[#reply + 1] = {redis.call('HGET', KEYS[5], name) or nil}
  else
    local key = ARGV[i] == 'outbox' and KEYS[3] or KEYS[4]
    reply[#reply + 1] = redis.call('ZRANGEBYSCORE', key, name, name, 'LIMIT', 0, 10)
  end
end
return reply
