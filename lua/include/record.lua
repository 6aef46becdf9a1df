-- A task's record: a msgpack array in KEYS[1], its fields in this order.
local STATE, PRIORITY, MAX_RETRY, MAX_CRASHES, RETENTION = 1, 2, 3, 4, 5
local CREATED, RUN, EXPIRES, SEQ, ATTEMPT = 6, 7, 8, 9, 10
local DELIVERIES, CRASHES, SNOOZES, NONCE, WORKER = 11, 12, 13, 14, 15
local CANCEL, WAITED, STARTED, FINISHED, ERROR = 16, 17, 18, 19, 20

-- The states' codes: their places in the specification's State.
local SCHEDULED, PENDING, ACTIVE, RETRY = 1, 4, 5, 6
local COMPLETED, DEAD, CANCELLED = 7, 8, 9

-- score = priority * SPAN + seq (the specification's PRIORITY_SPAN, 2^45)
local SPAN = 35184372088832

local type = type
local KINDS = {}
for n = 1, ERROR do KINDS[n] = 'number' end
KINDS[NONCE], KINDS[WORKER], KINDS[ERROR] = 'string', 'string', 'string'

-- The record, or nil when the bytes are not one: a script that fails half-way over a
-- field of the wrong type would lose the task it has just taken out of an index.
local function decode(raw)
  local good, record = pcall(cmsgpack.unpack, raw)
  if not good or type(record) ~= 'table' or #record ~= ERROR then return nil end
  for n = 1, ERROR do
    if type(record[n]) ~= KINDS[n] then return nil end
  end
  return record
end

local function load(id)
  local raw = redis.call('HGET', KEYS[1], id)
  return raw and decode(raw) or nil
end

local function save(id, record)
  redis.call('HSET', KEYS[1], id, cmsgpack.pack(record))
end

local function place(record)
  return record[PRIORITY] * SPAN + record[SEQ]
end

local function count(total, by)
  redis.call('HINCRBY', KEYS[2], total, by)
end

-- Tells whoever listens on the channel named like the queue's meta key.
local function tell(message)
  redis.call('PUBLISH', KEYS[2], message)
end
