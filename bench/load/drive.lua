-- The request comes from the environment; the answer is one line of JSON.
-- Only done() runs per measurement: wrk builds the request once, so Lua costs nothing while it is running.

wrk.method = os.getenv("BENCH_METHOD") or "GET"
wrk.headers["User-Agent"] = "bench"
local body = os.getenv("BENCH_BODY")
if body then
  wrk.body = body
  wrk.headers["Content-Type"] = "application/json"
end
for name, value in (os.getenv("BENCH_HEADERS") or ""):gmatch("([^:\n]+):([^\n]+)") do wrk.headers[name] = value end
if os.getenv("BENCH_CLOSE") then wrk.headers["Connection"] = "close" end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"non_2xx":%d,"errors":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
