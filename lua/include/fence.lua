-- The record of the delivery that (id, deliveries, nonce) names, or nil when that is stale.
-- Whoever has read its bytes already (false: there is none) gives them.
local function held(id, deliveries, nonce, raw)
  local record
  if raw then
    record = decode(raw)
  elseif raw == nil then
    record = load(id)
  end
  if record and record[DELIVERIES] == tonumber(deliveries) and record[NONCE] == nonce then
    return record
  end
  return nil
end

-- The record if it is to be settled now; else nil and the answer: today's state, 0 when stale.
local function settling(id, deliveries, nonce, raw)
  local record = held(id, deliveries, nonce, raw)
  if not record then return nil, 0 end
  if record[STATE] ~= ACTIVE then return nil, record[STATE] end
  return record, ACTIVE
end
