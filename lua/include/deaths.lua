-- Adds what is answered of a task that is dead now.
local function add_death(reply, id, record)
  local n = #reply
  reply[n + 1], reply[n + 2], reply[n + 3] = id, record[ATTEMPT], record[ERROR]
end
