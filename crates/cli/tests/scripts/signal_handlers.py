import os, signal
log = []
for s in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP): signal.signal(s, lambda n, f: log.append(signal.Signals(n).name))
os.kill(os.getpid(), signal.SIGUSR1); signal.raise_signal(signal.SIGUSR2); os.kill(os.getpid(), 1); print(log)
print(signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGPIPE))
try: signal.signal(9, signal.SIG_IGN)
except OSError as e: print(e)
try: os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt: print("interrupted")
r, w = os.pipe(); os.close(r)
try: os.write(w, b"x")
except BrokenPipeError as e: print(e)
