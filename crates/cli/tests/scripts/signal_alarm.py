import signal, time
def h(n, f): print("signal", n)
signal.signal(signal.SIGALRM, h); signal.alarm(1); print(signal.alarm(1)); signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02); signal.pause(); signal.pause()
print(signal.getitimer(signal.ITIMER_REAL)[1]); signal.setitimer(signal.ITIMER_REAL, 0)
class T(Exception): pass
def raiser(n, f): raise T
signal.signal(signal.SIGALRM, raiser); signal.setitimer(signal.ITIMER_REAL, 0.02)
try: time.sleep(100)
except T: print("sleep was interrupted")
