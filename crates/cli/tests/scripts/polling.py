# Loops that ask again and again until something has changed: a second of them is cheap here.
import socket,time,os,threading
a,b=socket.socketpair(); a.setblocking(False)
threading.Timer(1.0,lambda:b.send(b"x")).start()
n=0
while True:
    try: a.recv(1); break
    except BlockingIOError: n+=1
print("got")
pid=os.fork()
if pid==0: time.sleep(0.5); os._exit(3)
while os.waitpid(pid,os.WNOHANG)==(0,0): pass
print("reaped")
end = time.time() + 1
while time.time() < end: pass
print("a second later")
