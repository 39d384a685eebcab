import os, pwd, grp, platform, sys, getpass
print(pwd.getpwuid(0), grp.getgrgid(0), os.getuid(), os.geteuid(), os.getgid(), os.getresuid(), os.getresgid(), pwd.getpwnam("nobody").pw_uid, getpass.getuser())
print(platform.system(), platform.machine(), platform.libc_ver(), sys.platform, platform.architecture(), os.uname().sysname, platform.release().split(".")[:2]); print(os.getcwd(), os.sep, os.sysconf("SC_PAGESIZE"), os.sysconf("SC_CLK_TCK"), os.get_terminal_size.__name__, os.path.expanduser("~"), os.environ["PATH"])
pid = os.fork()
if not pid:
    os.setgroups([]); os.setresgid(65534, 65534, 65534); os.setresuid(65534, 65534, 65534); print(os.getresuid(), os.getgroups(), flush=True)
    for f in (lambda: os.setuid(0), lambda: open("/etc/shadow"), lambda: os.kill(os.getppid(), 0), lambda: os.mkdir("/etc/x"), lambda: os.chown("/tmp", 0, 0)):
        try: f()
        except OSError as e: print(e, flush=True)
    os._exit(0)
os.wait(); print(len(os.sched_getaffinity(0)) == os.cpu_count(), os.sched_getscheduler(0), os.sched_get_priority_max(1)); os.sched_yield(); os.sched_setaffinity(0, {0}); print(os.sched_getaffinity(0), len(os.getloadavg()))
