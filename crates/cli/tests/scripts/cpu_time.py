# Timers and limits that count CPU time end a loop that makes no system call.
import os, resource, signal, sys
caught = []
def spin():
    while not caught: pass
    print(caught.pop())
def handler(number, frame): caught.append(signal.Signals(number).name)
for which, number in ((signal.ITIMER_VIRTUAL, signal.SIGVTALRM), (signal.ITIMER_PROF, signal.SIGPROF)):
    signal.signal(number, handler)
    signal.setitimer(which, 0.05); spin()
signal.setitimer(signal.ITIMER_PROF, 0.02, 0.02); spin(); spin(); signal.setitimer(signal.ITIMER_PROF, 0)
signal.signal(signal.SIGXCPU, handler)
sys.stdout.flush()
if os.fork() == 0:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 5)); spin()
    print(resource.getrlimit(resource.RLIMIT_CPU), flush=True)
    os._exit(3)
print(os.waitstatus_to_exitcode(os.wait()[1]))
