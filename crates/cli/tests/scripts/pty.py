import os, pty, select, tty, termios
pid, fd = pty.fork()
if not pid: os.execvp("sh", ["sh", "-c", "tty >/dev/null && echo on a tty; read x; echo got $x"])
out = b""
os.write(fd, b"line\n")
try:
    while d := os.read(fd, 999): out += d
except OSError as e: print(e)
print(sorted(out.split(b"\r\n")), os.wait()[1])
m, s = pty.openpty(); print(os.isatty(s), os.ttyname(s)[:9], termios.tcgetattr(s)[3] & termios.ECHO != 0); tty.setraw(s); os.write(m, b"raw"); print(os.read(s, 9)); termios.tcsetwinsize(m, (5, 6)) if hasattr(termios, "tcsetwinsize") else 0; print(os.get_terminal_size(s))
