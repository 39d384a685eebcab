import datetime, time, calendar
t = time.monotonic(); time.sleep(0.05); e = time.monotonic() - t; print(0.05 <= e < 0.5); print(time.time() > 1e9, time.time_ns() > 0, time.perf_counter() >= 0, time.process_time() >= 0, time.thread_time() >= 0)
print(time.gmtime(86400 * 365)[:6], datetime.datetime(2024, 2, 29) + datetime.timedelta(366), calendar.timegm((1971, 1, 1, 0, 0, 0)), time.strftime("%F %T", time.gmtime(0)))
for c in "CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_BOOTTIME CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW CLOCK_TAI".split(): print(c, time.clock_gettime(getattr(time, c)) >= 0, time.clock_getres(getattr(time, c)))
print(time.tzname, time.get_clock_info("monotonic").resolution); 
import zoneinfo; print(datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("UTC")).isoformat())
