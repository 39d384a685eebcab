m = dict(l.split(":") for l in open("/proc/meminfo"))
print([k for k in "MemTotal MemFree MemAvailable Buffers Cached SwapTotal SwapFree Shmem".split() if k not in m])
print("model name" in open("/proc/cpuinfo").read(), len(open("/proc/uptime").read().split()), len(open("/proc/loadavg").read().split()))
print(open("/proc/stat").read().split()[0], "btime" in open("/proc/stat").read(), open("/proc/version").read()[:14], open("/proc/sys/kernel/ostype").read())
for k in "keepalive_time keepalive_intvl keepalive_probes fin_timeout syn_retries synack_retries retries2 orphan_retries sack timestamps window_scaling abort_on_overflow rfc1337 rto_min_us syn_linear_timeouts".split():
    print(k, open("/proc/sys/net/ipv4/tcp_" + k).read(), end="")
import socket
l = socket.create_server(("127.0.0.1", 0)); port = "%04X" % l.getsockname()[1]
t = [x.split() for x in open("/proc/net/tcp")]; r = next(x for x in t[1:] if x[1].endswith(port)); print(t[0], r[1][:8], r[2:6])
