from subprocess import Popen, PIPE, DEVNULL, STDOUT
a = Popen(["seq", "1000"], stdout=PIPE); b = Popen(["wc", "-l"], stdin=a.stdout, stdout=PIPE)
a.stdout.close(); print(b.communicate()[0], a.wait())
p = Popen(["cat"], stdin=PIPE, stdout=PIPE)
big = b"x" * 300000; print(len(p.communicate(big)[0]))
p = Popen(["sh", "-c", "echo o; echo e >&2"], stdout=PIPE, stderr=STDOUT); print(p.communicate())
p = Popen(["yes"], stdout=PIPE); print(p.stdout.readline()); p.stdout.close(); print(p.wait())
