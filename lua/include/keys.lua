-- Every key of the queue, by name. Any script that ends a task may touch each of them.
local records, meta, payloads, results, progress, expiring, pending, scheduled, retry, active,
  completed, dead, cancelled, blocked, grouped, keyed, lanes, shut, permits, turns, limits, rates,
  unique, locks, edges, needs, inputs, endings, outbox, received, steps, groups, rules, schedules,
  ticks, attempts, kinds, sightings, history = unpack(KEYS)
