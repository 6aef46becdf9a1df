"""The mutants: each takes one guard out of the Lua, by a change of one line.

`(name, script, exact old text, new text)`; the old text stands in the script
exactly once, which a test of the normal suite holds.
"""

# ruff: noqa: E501  (a table: one mutant, one line)
from __future__ import annotations

from itertools import starmap

import attrs


@attrs.frozen
class Mutant:
    """One guard taken out."""

    name: str
    script: str
    old: str
    new: str


_CANCEL_ASKED = "if record[CANCEL] == 1 then"
_NEVER = "if false then"

MUTANTS = tuple(
    starmap(
        Mutant,
        [
            # the token
            ("the token's delivery", "include/fence", "record[DELIVERIES] == tonumber(deliveries)", "true"),
            ("the token's nonce", "include/fence", " and record[NONCE] == nonce", ""),
            ("a task is active when settled", "include/fence", "if record[STATE] ~= ACTIVE then return nil, record[STATE] end", ""),
            ("a settled task's state is told", "include/fence", "return nil, record[STATE] end", "return nil, 0 end"),
            ("a stale answer is told", "include/fence", "return nil, 0 end", "return nil, ACTIVE end"),
            ("a task is active when renewed", "renew", "if record and record[STATE] == ACTIVE then", "if record then"),
            ("a renewal tells of a cancel", "renew", "record[CANCEL] == 1 and 2 or 1", "1"),
            ("a renewal prolongs", "renew", "redis.call('ZADD', active, till, ARGV[i])", ""),
            ("a task is active when it reports", "report", "record and record[STATE] == ACTIVE", "record"),
            ("a reclaim voids the token", "reclaim", "record[NONCE] = ''", ""),
            ("a revival voids the token", "revive", "record[NONCE], record[ERROR], record[EXPIRES] = '', '', 0", "record[ERROR], record[EXPIRES] = '', 0"),
            ("a claim counts its delivery", "claim", "record[DELIVERIES] + 1, record[ATTEMPT] + 1", "record[DELIVERIES], record[ATTEMPT] + 1"),
            ("a claim charges an attempt", "claim", "record[DELIVERIES] + 1, record[ATTEMPT] + 1", "record[DELIVERIES] + 1, record[ATTEMPT]"),
            # enqueue
            ("an id that exists is refused", "enqueue", "if redis.call('HSETNX', payloads, id, ARGV[i - 1]) == 0 then", "if redis.call('HSET', payloads, id, ARGV[i - 1]) < 0 then"),
            ("a delayed task is scheduled", "enqueue", "if run > now then", "if false then"),
            ("a task due now is pending", "enqueue", "if run > now then", "if run >= now then"),
            ("an instant passed is now", "enqueue", "math.max(run, now)", "run"),
            ("an instant of expiry goes first", "enqueue", "if expires == 0 and o[7] > 0 then", "if o[7] > 0 then"),
            ("expiry counts from now", "enqueue", "expires = now + o[7]", "expires = o[7]"),
            ("each new task takes the next place", "enqueue", "seq = seq + 1", ""),
            ("the last place is kept", "enqueue", "redis.call('HSET', KEYS[2], 'seq', seq)", ""),
            ("enqueued tasks are counted", "enqueue", "count('enqueued', added)", ""),
            # claim
            ("a paused queue gives nothing", "claim", "if redis.call('HGET', KEYS[2], 'paused') == '1' then return {0, 0} end", ""),
            ("a claim has its limit", "claim", "redis.call('ZPOPMIN', pending, ARGV[2])", "redis.call('ZPOPMIN', pending, 1000)"),
            ("a claim buries the expired", "claim", "elseif record[EXPIRES] > 0 and record[EXPIRES] <= now then", "elseif false then"),
            ("a task expires at its instant", "claim", "record[EXPIRES] <= now then", "record[EXPIRES] < now then"),
            ("a task without expiry is claimed", "claim", "elseif record[EXPIRES] > 0 and record[EXPIRES] <= now", "elseif record[EXPIRES] <= now"),
            ("a task in hand does not expire", "claim", "if record[EXPIRES] > 0 then redis.call('ZREM', expiring, id) end", ""),
            ("a claim buries the unreadable", "claim", "if not record then", "if false then"),
            ("an unreadable task's expiry goes", "claim", "redis.call('ZREM', expiring, id)\n    record =", "record ="),
            ("a claim buries what has no payload", "claim", "elseif not envelopes[i] then", "elseif false then"),
            ("a buried task has a payload", "claim", "if not envelopes[i] then redis.call('HSET', payloads, id, '') end", ""),
            ("a claim tells what remains", "claim", "reply[1] = redis.call('ZCARD', pending)", ""),
            ("a claim names its worker", "claim", "record[WORKER], record[NONCE] = ARGV[4], ARGV[5]", "record[NONCE] = ARGV[5]"),
            # records
            ("a record has its length", "include/record", " or #record ~= ERROR then", " then"),
            ("a record has its kinds", "include/record", "if type(record[n]) ~= KINDS[n] then return nil end", ""),
            ("lower priority numbers come first", "include/record", "record[PRIORITY] * SPAN + record[SEQ]", "record[SEQ]"),
            ("first come, first served", "include/record", "record[PRIORITY] * SPAN + record[SEQ]", "record[PRIORITY] * SPAN"),
            # complete
            ("a result is kept for the retention", "complete", "if keep > 0 then", "if false then"),
            ("without retention nothing is kept", "complete", "if keep > 0 then", "if true then"),
            ("what someone waits for is kept", "complete", "record[WAITED] == 1 and GRACE or 0", "0"),
            ("only what someone waits for has the grace", "complete", "record[WAITED] == 1 and GRACE or 0", "GRACE"),
            ("a completion leaves the active", "complete", "redis.call('ZREM', active, id)", ""),
            ("a completion clears the error", "complete", "record[ERROR] = COMPLETED, now, ''", "record[WORKER] = COMPLETED, now, record[WORKER]"),
            ("a dropped task leaves no payload", "complete", "redis.call('HDEL', payloads, id)", ""),
            ("a dropped task leaves no progress", "complete", "redis.call('HDEL', progress, id)", ""),
            ("completions are counted", "complete", "if done > 0 then count('completed', done) end", ""),
            ("dropped tasks are counted", "complete", "if dropped > 0 then count('purged', dropped) end", ""),
            ("a completion is told", "complete", "announce(id, record)", ""),
            # fail
            ("attempts end", "fail", "record[ATTEMPT] > record[MAX_RETRY]", "false"),
            ("the last retry is taken", "fail", "record[ATTEMPT] > record[MAX_RETRY]", "record[ATTEMPT] >= record[MAX_RETRY]"),
            ("a final error is final", "fail", "ARGV[i + 5] == '1' or ", ""),
            ("a failure honours a cancel", "fail", "elseif record[CANCEL] == 1 then", "elseif false then"),
            ("death goes before a cancel", "fail", "if ARGV[i + 5] == '1' or record[ATTEMPT] > record[MAX_RETRY] then", "if record[CANCEL] == 0 and (ARGV[i + 5] == '1' or record[ATTEMPT] > record[MAX_RETRY]) then"),
            ("a retry keeps its error", "fail", "record[ERROR] = ARGV[i + 3]", ""),
            ("a retry waits its delay", "fail", "now + tonumber(ARGV[i + 4])", "now"),
            ("failures are counted", "fail", "count('failed', 1)", ""),
            # release, snooze, stop
            ("a release honours a cancel", "release", _CANCEL_ASKED, _NEVER),
            ("a release gives the attempt back", "release", "record[ATTEMPT] = record[ATTEMPT] - 1", ""),
            ("a release leaves the active", "release", "redis.call('ZREM', active, id)", ""),
            ("a snooze honours a cancel", "snooze", _CANCEL_ASKED, _NEVER),
            ("a snooze gives the attempt back", "snooze", "record[ATTEMPT] = record[ATTEMPT] - 1", ""),
            ("a snooze is counted", "snooze", "record[SNOOZES] = record[SNOOZES] + 1", ""),
            ("a snooze waits its delay", "snooze", "now + tonumber(ARGV[i + 3])", "now"),
            ("a stop needs a cancel", "stop", "if record and record[CANCEL] == 1 then", "if record then"),
            ("a stop gives the attempt back", "stop", "record[ATTEMPT] = record[ATTEMPT] - 1", ""),
            # upkeep
            ("nothing is promoted early", "include/due", "index, '-inf', now, 'LIMIT'", "index, '-inf', '+inf', 'LIMIT'"),
            ("due means at the instant", "include/due", "index, '-inf', now, 'LIMIT'", "index, '-inf', '(' .. string.format('%.0f', now), 'LIMIT'"),
            ("upkeep has its limit", "include/due", "'LIMIT', 0, limit)", "'LIMIT', 0, 1000)"),
            ("the next instant is the least", "include/due", "left < least then", "left > least then"),
            ("the past is due now", "include/due", "math.max(0, tonumber(first[2]) - now)", "tonumber(first[2]) - now"),
            ("a promoted task takes the next place", "promote", "seq = seq + 1", ""),
            ("places given by promotion are kept", "promote", "if moved > 0 then redis.call('HSET', KEYS[2], 'seq', seq) end", ""),
            ("retries are promoted", "promote", "for _, index in ipairs({scheduled, retry}) do", "for _, index in ipairs({scheduled}) do"),
            ("promotion loses nothing unreadable", "promote", "redis.call('ZADD', pending, 0, id)", ""),
            ("a lapse is a crash", "reclaim", "record[CRASHES] = record[CRASHES] + 1", ""),
            ("a lapse gives the attempt back", "reclaim", "record[ATTEMPT] = record[ATTEMPT] - 1", ""),
            ("a lapse honours a cancel", "reclaim", _CANCEL_ASKED, _NEVER),
            ("crashes end", "reclaim", "elseif record[CRASHES] > record[MAX_CRASHES] then", "elseif false then"),
            ("the last crash is forgiven", "reclaim", "record[CRASHES] > record[MAX_CRASHES]", "record[CRASHES] >= record[MAX_CRASHES]"),
            ("a reclaim loses nothing unreadable", "reclaim", "redis.call('ZADD', pending, 0, id)", ""),
            ("an expired task leaves the expiring", "expire", "redis.call('ZREM', expiring, id)", ""),
            ("an expired task leaves its index", "expire", "redis.call('ZREM', index, id)", ""),
            ("waiting tasks keep their expiry", "include/requeue", "if record[EXPIRES] > 0 then redis.call('ZADD', expiring, record[EXPIRES], id) end", ""),
            ("only mortal tasks expire", "include/requeue", "if record[EXPIRES] > 0 then redis", "if true then redis"),
            # purge
            ("young dead stay", "purge", "math.max(old, many)", "1000"),
            ("old dead go", "purge", "math.max(old, many)", "math.max(0, many)"),
            ("too many dead go", "purge", "math.max(old, many)", "old"),
            ("a purge of dead has its limit", "purge", "math.min(limit, math.max(old, many))", "math.max(old, many)"),
            ("the completed are purged", "purge", "drop(completed, due(completed, now, limit))", ""),
            ("the cancelled are purged", "purge", "drop(cancelled, due(cancelled, now, limit))", ""),
            ("purged tasks leave nothing", "purge", "ipairs({KEYS[1], payloads, results, progress})", "ipairs({KEYS[1], payloads, results})"),
            ("purged tasks are counted", "purge", "if gone > 0 then count('purged', gone) end", ""),
            ("a purge tells of the next dead", "purge", "if left < 0 or (corpse >= 0 and corpse < left) then left = corpse end", ""),
            # terminal states
            ("cancelled tasks have the grace", "include/finish", "math.max(record[RETENTION], GRACE)", "record[RETENTION]"),
            ("cancelled tasks have their retention", "include/finish", "math.max(record[RETENTION], GRACE)", "GRACE"),
            ("deaths are counted", "include/finish", "count('dead', 1)", ""),
            ("an end is told", "include/finish", "if record[WAITED] == 1 then tell('done:' .. id) end", ""),
            ("an end that nobody waits for is not told", "include/finish", "if record[WAITED] == 1 then tell", "if true then tell"),
            # cancel, revive, delete, flush, watch, pause
            ("an active task is asked to stop", "cancel", "record[CANCEL] = 1", ""),
            ("a worker is told of a cancel", "cancel", "tell('cancel:' .. id)", ""),
            ("a cancelled task leaves its index", "cancel", "redis.call('ZREM', index_of[record[STATE]], id)", ""),
            ("a cancelled task does not expire", "cancel", "redis.call('ZREM', expiring, id)", ""),
            ("ended tasks are not cancelled", "cancel", "elseif index_of[record[STATE]] then", "else index_of[record[STATE]] = index_of[record[STATE]] or pending"),
            ("only dead and cancelled are revived", "revive", "{[DEAD] = dead, [CANCELLED] = cancelled}", "{[DEAD] = dead, [CANCELLED] = cancelled, [COMPLETED] = dead}"),
            ("waiting tasks are not revived", "revive", "{[DEAD] = dead, [CANCELLED] = cancelled}", "{[DEAD] = dead, [CANCELLED] = cancelled, [PENDING] = pending}"),
            ("a revival forgets the counters", "revive", "record[ATTEMPT], record[CRASHES], record[SNOOZES], record[CANCEL] = 0, 0, 0, 0", ""),
            ("a revival is due now", "revive", "record[RUN], record[FINISHED] = now, 0", "record[FINISHED] = 0"),
            ("a revival takes the next place", "revive", "redis.call('HINCRBY', KEYS[2], 'seq', 1)", "tonumber(redis.call('HGET', KEYS[2], 'seq'))"),
            ("a task in hand is not deleted", "delete", "[PENDING] = KEYS[7], ", "[PENDING] = KEYS[7], [ACTIVE] = KEYS[7], "),
            ("a deleted task does not expire", "delete", "redis.call('ZREM', expiring, id)", ""),
            ("a deleted task leaves nothing", "delete", "ipairs({KEYS[1], payloads, results, progress})", "ipairs({KEYS[1], payloads, progress})"),
            ("deleted tasks are counted", "delete", "if gone > 0 then count('deleted', gone) end", ""),
            ("a deletion is told", "delete", "announce(id, record)", ""),
            ("a flush takes the active too", "flush", "KEYS[8], KEYS[9], KEYS[10], KEYS[11]", "KEYS[8], KEYS[9], KEYS[11]"),
            ("flushed tasks are counted", "flush", "if gone > 0 then count('deleted', gone) end", ""),
            ("a flush is told", "flush", "tell('flush')", ""),
            ("ended tasks are not watched", "watch", "record[STATE] < COMPLETED and ", ""),
            ("a pause is kept", "pause", "redis.call('HSET', KEYS[2], 'paused', ARGV[1])", ""),
            # groups
            ("a batch takes only what is due", "batch", "due(groups, now, 1)[1]", "redis.call('ZRANGE', groups, 0, 0)[1]"),
            ("a batch's id is new", "batch", "if redis.call('HEXISTS', payloads, id) == 0 then", "if true then"),
            ("a batch takes as many as its group's rule says", "batch", "rule_of(group)[1])) do", "1000)) do"),
            ("a batch has a bounded size", "batch", "if #found > 0 and size > MOST then break end", ""),
            ("a batch has one member at least", "batch", "if #found > 0 and size > MOST", "if size > MOST"),
            ("a batch has the first priority of its members", "batch", "math.min(record[PRIORITY], one[PRIORITY])", "one[PRIORITY]"),
            ("a batch has the most of its members' bounds", "batch", "math.max(record[n], one[n])", "one[n]"),
            ("a batch has its members' retention", "batch", "ipairs({MAX_RETRY, MAX_CRASHES, RETENTION})", "ipairs({MAX_RETRY, MAX_CRASHES})"),
            ("a batched member leaves its group", "batch", "leave(own, one)", ""),
            ("a batched member frees its key", "batch", "unlock_unless_by_time(own, one)", ""),
            ("a key by time outlives a batched member", "batch", "unlock_unless_by_time(own, one)", "unlock(own, one)"),
            ("a batched member leaves nothing", "batch", "drop(own, one)", ""),
            ("a batched member is told of", "batch", "announce(own, one, 0)", ""),
            ("an unreadable member is buried", "batch", "redis.call('ZADD', pending, 0, own)", ""),
            ("an unreadable member leaves its group", "batch", "redis.call('ZREM', grouped, entry)", ""),
            ("a member without a payload is buried", "batch", "if one and envelope then", "if one then"),
            ("an empty batch is none", "batch", "if #found > 0 then\n      redis", "if true then\n      redis"),
            ("a batch takes the next place", "batch", "record[SEQ] = next_seq()", ""),
            ("what a batch left is due when it says", "batch", "touched_groups[group] = true\n    touch_groups()", ""),
            ("a batch is counted as enqueued", "batch", "count('enqueued', made)", ""),
            ("batched members are counted", "batch", "count('batched', batched)", ""),
            ("a batch tells of the next group", "batch", "next_in(now, {groups})", "-1"),
            ("a group without members has no rule", "govern", "redis.call('ZSCORE', groups, group) and ", ""),
            ("a rule that is there already is not set", "govern", " and redis.call('HGET', rules, group) ~= rule", ""),
            ("a rule makes a group due", "govern", "touched_groups[group] = true", ""),
            ("groups are paged", "groups", "start + ARGV[2] - 1", "-1"),
            ("groups are paged from where they should be", "groups", "'ZRANGE', groups, start, start", "'ZRANGE', groups, 0, start"),
            ("a full group is due at once", "include/places", ">= rule[1] then return 0 end", "< 0 then return 0 end"),
            ("a group is full with its last member", "include/places", ">= rule[1] then return 0", "> rule[1] then return 0"),
            ("the last member begins the grace", "include/places", "newest[RUN] + rule[2]", "oldest[RUN] + rule[2]"),
            ("the first member begins the longest delay", "include/places", "oldest[RUN] + rule[3]", "newest[RUN] + rule[3]"),
            ("a group that cannot be read is looked at", "include/places", "if not oldest or not newest then return 0 end", "if not oldest or not newest then return nil end"),
            ("a new group is told", "include/places", "if not known or at < tonumber(known) then tell('group:'", "if known and at < tonumber(known) then tell('group:'"),
            ("a group due sooner is told", "include/places", "if not known or at < tonumber(known) then tell('group:'", "if not known then tell('group:'"),
            ("an empty group is none", "include/places", "redis.call('ZREM', groups, group)", ""),
            ("an empty group has no rule", "include/places", "redis.call('HDEL', rules, group)", ""),
            ("a member that leaves makes its group due later", "include/places", "      touched_groups[ties[GROUP]] = true\n", ""),
            ("a member that comes makes its group due", "include/places", "  touched_groups[record[TIES][GROUP]] = true\n", ""),
            ("groups are settled behind each step", "include/ripple", "if next(touched_groups) then touch_groups() end", ""),
            # signals
            ("a ready task wakes", "include/requeue", "if redis.call('EXISTS', pending) == 0 then tell('wake') end", ""),
            ("the first due is told", "include/requeue", "if redis.call('ZRANK', index, id) == 0 then tell('due') end", ""),
            ("a resume wakes", "pause", "if ARGV[1] == '0' then tell('wake') end", ""),
            ("progress is told", "report", "if record[WAITED] == 1 then tell('progress:' .. ARGV[i]) end", ""),
            # reading, roster
            ("a page begins behind its task", "list", "start = rank + 1", "start = rank"),
            ("a page has its limit", "list", "start + tonumber(ARGV[1]) - 1", "-1"),
            ("a page needs its task", "list", "if not rank then return redis.error_reply('NOTLISTED') end", "rank = rank or 0"),
            ("each priority's head is looked at", "stats", "(math.floor(tonumber(head[2]) / SPAN) + 1) * SPAN", "'+inf'"),
            ("the oldest head counts", "stats", "math.max(oldest, now - record[RUN])", "now - record[RUN]"),
            ("silent workers are off the roster", "roster", "'(' .. string.format('%.0f', now)", "'-inf'"),
            ("a worker is silent at its instant", "roster", "'(' .. string.format('%.0f', now)", "string.format('%.0f', now)"),
            ("the roster is ordered", "roster", "table.sort(ids)", ""),
            ("silent workers are forgotten", "beat", "redis.call('HDEL', KEYS[1], id)", ""),
            ("a worker that leaves is forgotten", "leave", "redis.call('ZREM', KEYS[2], ARGV[1])", ""),
            ("a clock that is handed counts", "include/clock", "if given ~= '' then return tonumber(given) end", ""),
            ("the server's clock is in ms", "include/clock", "time[1] * 1000 + math.floor(time[2] / 1000)", "time[1]"),
        ],
    )
)  # fmt: skip
"""Every guard of the scripts that somebody relies on."""
