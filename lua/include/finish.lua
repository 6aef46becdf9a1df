-- Ways to a terminal state. The caller has taken the task out of its old index.
local GRACE = 60000

local function announce(id, record)
  if record[WAITED] == 1 then tell('done:' .. id) end
end

local function bury(id, record, reason, now, dead)
  record[STATE], record[ERROR], record[FINISHED] = DEAD, reason, now
  save(id, record)
  redis.call('ZADD', dead, now, id)
  count('dead', 1)
  announce(id, record)
end

local function abandon(id, record, now, cancelled)
  record[STATE], record[FINISHED] = CANCELLED, now
  save(id, record)
  redis.call('ZADD', cancelled, now + math.max(record[RETENTION], GRACE), id)
  announce(id, record)
end
