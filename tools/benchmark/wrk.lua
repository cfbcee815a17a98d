-- Makes wrk print its result as load.c does, see measurement.h.

local STALL_US = 20000

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  if failed > 0 then
    io.stderr:write(string.format("%d requests have failed\n", failed))
    os.exit(1)
  end
  local stalls = 0
  for i = 1, #latency do
    local value, count = latency(i)
    if value > STALL_US then stalls = stalls + count end
  end
  print(string.format(
    '{"event": "end", "seconds": %.6f, "operations": %d, "bytes": %d, ' ..
      '"p50_us": %.2f, "p99_us": %.2f, "max_us": %.2f, "stalls": %d}',
    summary.duration / 1e6, summary.requests, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max, stalls))
end
