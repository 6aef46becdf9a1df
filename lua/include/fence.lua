-- Returns the record of the delivery that (id, deliveries, nonce) names, or nil when that is
-- stale. `raw` is the record's bytes if they were read before, false if there is no record.
local function find_delivery(id, deliveries, nonce, raw)
  if raw == nil then raw = redis.call('HGET', KEYS[1], id) end
  local record = decode(raw)
  if record and record[DELIVERIES] == tonumber(deliveries) and record[NONCE] == nonce then
    return record
  end
  return nil
end

-- Returns the record if it is still to be settled; else nil and the answer: the state that the
-- task is in now, 0 when stale.
local function find_unsettled(id, deliveries, nonce, raw)
  local record = find_delivery(id, deliveries, nonce, raw)
  if not record then return nil, 0 end
  if record[STATE] ~= ACTIVE then return nil, record[STATE] end
  return record, ACTIVE
end
