-- The record of the delivery that (id, deliveries, nonce) names, or nil when that is stale.
local function held(id, deliveries, nonce)
  local record = load(id)
  if record and record[DELIVERIES] == tonumber(deliveries) and record[NONCE] == nonce then
    return record
  end
  return nil
end

-- The record if it is to be settled now; else nil and the answer: today's state, 0 when stale.
local function settling(id, deliveries, nonce)
  local record = held(id, deliveries, nonce)
  if not record then return nil, 0 end
  if record[STATE] ~= ACTIVE then return nil, record[STATE] end
  return record, ACTIVE
end
