-- Sends the tokens of a file in turn. Arguments: the file, "cycle" or "once", and
-- perhaps "traced"; "once" ends the run with the last token, "traced" gives each request a trace of its own.
-- Prints one line of JSON at the end; latencies are in microseconds.
local ffi = require('ffi')
ffi.cdef[[int getpid(void); int tgkill(int, int, int);]]

local requests, at, is_once, is_over = {}, 0, false, false

function init(args)
  is_once = args[2] == "once"
  for token in io.lines(args[1]) do
    local fields = {["Authorization"] = "Bearer " .. token}
    if args[3] == "traced" then
      fields["traceparent"] = string.format("00-%032x-%016x-01", #requests + 1, #requests + 1)
    end
    requests[#requests + 1] = wrk.format("GET", "/items", fields)
  end
end

function request()
  at = at + 1
  if at > #requests then
    if is_once and not is_over then
      -- wrk's first thread sleeps until its time is over or a SIGINT wakes just that one, and counts that time.
      is_over = true
      wrk.thread:stop()
      local pid = ffi.C.getpid()
      ffi.C.tgkill(pid, pid, 2)
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
