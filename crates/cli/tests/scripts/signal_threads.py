import os, signal, threading, time
signal.signal(signal.SIGUSR1, lambda n, f: print("main handles", n))
# Blocked in the thread too: join() returns while the thread has still a way to its end.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])
ev = threading.Event(); t = threading.Thread(target=ev.wait); t.start()
signal.pthread_kill(t.ident, signal.SIGUSR1); time.sleep(0.01); ev.set(); t.join()
os.kill(os.getpid(), signal.SIGUSR2); print(signal.sigpending()); print(signal.sigwait([signal.SIGUSR2]))
print(signal.sigtimedwait([signal.SIGTERM], 0.02))
os.kill(os.getpid(), signal.SIGTERM); i = signal.sigwaitinfo([signal.SIGTERM]); print(i.si_signo, i.si_pid == os.getpid(), i.si_code)
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
