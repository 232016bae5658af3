-- Sends the tokens of a file in turn. Arguments: the file, and "cycle" or "once"; "once" ends the run with the last token.
-- Prints one line of JSON at the end; latencies are in microseconds.
local requests, at, is_once = {}, 0, false

function init(args)
  is_once = args[2] == "once"
  for token in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", args[3] or "/items", {["Authorization"] = "Bearer " .. token})
  end
end

function request()
  at = at + 1
  if at > #requests then
    if is_once then
      wrk.thread:stop()
    end
    at = 1
  end
  return requests[at]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    '{"requests": %d, "microseconds": %d, "errors": %d, "p50": %d, "p99": %d}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
