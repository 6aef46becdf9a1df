-- Every key of the queue, by name: whatever ends a task may touch them all.
local records, meta, payloads, results, progress, expiring, pending, scheduled, retry, active,
  completed, dead, cancelled, blocked, grouped, keyed, lanes, shut, permits, turns, limits, rates,
  unique, locks, edges, needs, inputs, endings, outbox, received, steps, groups, rules, schedules,
  ticks, history = unpack(KEYS)
