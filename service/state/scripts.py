"""What the Redis does in one atomic step each, in Lua. Times are the server's own: replicas' clocks may differ.

Numbers cross as text (``%.17g``), because Redis cuts Lua numbers down to integers.
"""

from __future__ import annotations

_NOW = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1e6
local function text(number) return string.format('%.17g', number) end
"""

HEARTBEAT = (
    _NOW
    + """
-- KEYS: replicas, life. ARGV: this replica, seconds that one counts as alive, name of a new life.
-- Returns: how many replicas there are, and the life: another one than before means that the Redis lost what it knew.
redis.call('SET', KEYS[2], ARGV[3], 'NX')
redis.call('ZADD', KEYS[1], text(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - tonumber(ARGV[2])))
return {text(redis.call('ZCARD', KEYS[1])), redis.call('GET', KEYS[2])}
"""
)

HOLDS = (
    _NOW
    + """
-- KEYS: holds. ARGV: JSON list of changes, seconds after which a hold that is over is forgotten.
-- A change: {key, id, age, left, outcome, detail, seed} sets, {key, id} ends exactly the hold that its writer saw.
-- Returns: time, then key and JSON of every hold.
for _, change in ipairs(cjson.decode(ARGV[1])) do
  local found = redis.call('HGET', KEYS[1], change.key)
  if change.outcome == nil then
    if found and cjson.decode(found).id == change.id then redis.call('HDEL', KEYS[1], change.key) end
  elseif not (change.seed and found) then
    redis.call('HSET', KEYS[1], change.key, cjson.encode({
      id = change.id, since = text(now - change.age), ends = text(now + change.left),
      outcome = change.outcome, detail = change.detail}))
  end
end
local answer = {text(now)}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if tonumber(cjson.decode(all[i + 1]).ends) < now - tonumber(ARGV[2]) then
    redis.call('HDEL', KEYS[1], all[i])
  else
    answer[#answer + 1] = all[i]
    answer[#answer + 1] = all[i + 1]
  end
end
return answer
"""
)

TAKE = (
    _NOW
    + """
-- KEYS: marker of this call, then one counter without its span per claim.
-- ARGV: seconds that the marker is kept; per claim: seconds of the window, 1 if sliding, limit, amount.
-- Returns: time, 1 if all were taken, then per claim what was used in the last and in this span before.
local answer, fits, counters = {text(now), '0'}, true, {}
for i = 2, #KEYS do
  local a = 2 + (i - 2) * 4
  local length, sliding = tonumber(ARGV[a]), ARGV[a + 1] == '1'
  local most, amount = tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local span = math.floor(now / length)
  local name = KEYS[i] .. ':' .. string.format('%d', span)
  local current = tonumber(redis.call('GET', name) or '0')
  local previous = 0
  if sliding then
    previous = math.max(tonumber(redis.call('GET', KEYS[i] .. ':' .. string.format('%d', span - 1)) or '0'), 0)
  end
  local used = math.max(previous * (1 - (now - span * length) / length) + current, 0)
  if used + amount > most then fits = false end
  counters[#counters + 1] = {name, amount, length * 2}
  answer[#answer + 1] = text(previous)
  answer[#answer + 1] = text(current)
end
if fits and redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then
  for _, counter in ipairs(counters) do
    redis.call('INCRBYFLOAT', counter[1], text(counter[2]))
    redis.call('EXPIRE', counter[1], counter[3])
  end
end
answer[2] = fits and '1' or '0'
return answer
"""
)

ADD = """
-- KEYS: marker of this call, counters with their spans. ARGV: seconds of the marker; per counter: amount, seconds.
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[1]) then return 0 end
for i = 2, #KEYS do
  redis.call('INCRBYFLOAT', KEYS[i], ARGV[2 * i - 2])
  redis.call('EXPIRE', KEYS[i], ARGV[2 * i - 1])
end
return 1
"""

RAISE = """
-- KEYS: a counter with its span. ARGV: what it was at least, seconds. For a Redis that has lost it.
if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
end
return 1
"""

ENTER = (
    _NOW
    + """
-- KEYS: running requests of a caller. ARGV: ticket, most, seconds that a ticket lives unless it is renewed.
-- Returns: 1 if it is in.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], text(now + tonumber(ARGV[3])), ARGV[1])
redis.call('EXPIRE', KEYS[1], math.ceil(tonumber(ARGV[3])))
return 1
"""
)

RENEW = (
    _NOW
    + """
-- KEYS: running requests of a caller. ARGV: seconds that a ticket lives, its tickets here.
local ends = text(now + tonumber(ARGV[1]))
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], ends, ARGV[i]) end
redis.call('EXPIRE', KEYS[1], math.ceil(tonumber(ARGV[1])))
return 1
"""
)
