-- Arguments after `--`: method, size of the request body, requests in flight a connection.
-- Prints one line of JSON.

function init(args)
   local method, size, depth = args[1], tonumber(args[2]), tonumber(args[3])
   wrk.method = method
   if size > 0 then
      wrk.body = string.rep("x", size)
   end
   if depth > 1 then
      local format = wrk.format
      wrk.format = function(...)
         return string.rep(format(...), depth)
      end
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   print(string.format(
      '{"requests": %d, "seconds": %.6f, "bytes": %.0f, "p99": %.1f, ' ..
      '"errors": {"connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}}',
      summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status
   ))
end
