// What a statically linked C program (musl) asks of a kernel. One word names the part.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void check(int good, const char *what) {
	if (!good) {
		printf("%s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn, sum;
static __thread int mine;

static void *adds(void *arg) {
	for (mine = 0; mine < 1000; mine++) {
		pthread_mutex_lock(&mutex);
		sum += (int)(long)arg;
		pthread_mutex_unlock(&mutex);
	}
	pthread_mutex_lock(&mutex);
	while (turn != (int)(long)arg)
		pthread_cond_wait(&cond, &mutex);
	printf("thread %d after %d\n", turn, mine);
	turn++;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	return arg;
}

static void *sleeps(void *arg) {
	pause();
	return arg;
}

static void threads(void) {
	pthread_t t[4];
	void *result;
	for (long i = 0; i < 4; i++)
		check(pthread_create(&t[i], 0, adds, (void *)i) == 0, "pthread_create");
	for (int i = 3; i >= 0; i--) {
		pthread_join(t[i], &result);
		printf("joined %ld\n", (long)result);
	}
	printf("sum %d\n", sum);
	check(pthread_create(t, 0, sleeps, 0) == 0, "pthread_create");
	pthread_cancel(t[0]);
	pthread_join(t[0], &result);
	printf("cancelled %d\n", result == PTHREAD_CANCELED);
}

static void children(void) {
	int status, pipes[2];
	char text[64] = {0};
	int *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(shared != MAP_FAILED && pipe(pipes) == 0, "mmap, pipe");
	for (int i = 0; i < 3; i++) {
		fflush(stdout);
		pid_t pid = fork();
		if (pid == 0) {
			shared[i] = 10 * i;
			if (i == 0)
				_exit(7);
			if (i == 1)
				abort();
			dup2(pipes[1], 1);
			execl("/bin/sh", "sh", "-c", "echo from the shell; exit 9", (char *)0);
			_exit(127);
		}
		check(waitpid(pid, &status, 0) == pid, "waitpid");
		if (WIFEXITED(status))
			printf("exited %d\n", WEXITSTATUS(status));
		else
			printf("killed by %d\n", WTERMSIG(status));
	}
	check(read(pipes[0], text, sizeof text - 1) > 0, "read");
	printf("%s%d %d %d\n", text, shared[0], shared[1], shared[2]);
	FILE *f = popen("tr a-z A-Z", "w");
	fputs("shout\n", f);
	fflush(stdout);
	printf("pclose %d\n", pclose(f));
	check(wait(&status) < 0, "wait");
	printf("wait: %s\n", strerror(errno));
}

static volatile sig_atomic_t seen[65];

static void handler(int sig, siginfo_t *info, void *context) {
	(void)context;
	seen[sig] = info->si_code == SI_USER || info->si_code == SI_QUEUE ? info->si_value.sival_int : -1;
}

static void signals(void) {
	struct sigaction act = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	sigset_t set, old;
	siginfo_t info;
	struct timespec soon = {0, 20000000};
	sigaction(SIGALRM, &act, 0);
	sigaction(SIGRTMIN, &act, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, &old);
	for (int i = 1; i <= 3; i++)
		sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
	check(sigwaitinfo(&set, &info) == SIGRTMIN, "sigwaitinfo");
	printf("first in the queue %d\n", info.si_value.sival_int);
	sigprocmask(SIG_SETMASK, &old, 0);
	printf("last handled %d\n", seen[SIGRTMIN]);
	sigprocmask(SIG_BLOCK, &set, 0);
	printf("sigtimedwait %d", sigtimedwait(&set, 0, &soon));
	printf(" %s\n", strerror(errno));
	sigset_t alarms;
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	sigprocmask(SIG_BLOCK, &alarms, &old);
	ualarm(20000, 0);
	printf("sigsuspend %d", sigsuspend(&old));
	printf(" %s %d\n", strerror(errno), seen[SIGALRM]);
	signal(SIGSEGV, SIG_DFL);
	fflush(stdout);
	*(volatile int *)8 = 1;
}

static void sockets(void) {
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), s, pair[2];
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof a;
	char text[64];
	check(bind(l, (void *)&a, sizeof a) == 0 && listen(l, 4) == 0, "listen");
	getsockname(l, (void *)&a, &len);
	check(connect(c, (void *)&a, sizeof a) == 0, "connect");
	check((s = accept(l, 0, 0)) >= 0, "accept");
	struct pollfd p[2] = {{.fd = s, .events = POLLIN}, {.fd = c, .events = POLLIN | POLLOUT}};
	int ready = poll(p, 2, 10);
	printf("poll %d %x %x\n", ready, p[0].revents, p[1].revents);
	send(c, "hello", 5, 0);
	ready = poll(p, 2, -1);
	printf("poll %d %x %x\n", ready, p[0].revents, p[1].revents);
	printf("recv %d\n", (int)recv(s, text, sizeof text, MSG_PEEK));
	close(s); // unread data: a reset
	ready = poll(p + 1, 1, -1);
	printf("poll %d %x\n", ready, p[1].revents);
	printf("recv %d", (int)recv(c, text, sizeof text, 0));
	printf(" %s\n", strerror(errno));
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0, "socketpair");
	send(pair[0], "one", 3, 0);
	send(pair[0], "three", 5, 0);
	printf("%d", (int)recv(pair[1], text, 64, 0));
	printf(" %d\n", (int)recv(pair[1], text, 64, 0));
	printf("%d", (int)recv(pair[1], text, 64, MSG_DONTWAIT));
	printf(" %s\n", strerror(errno));
	signal(SIGPIPE, SIG_DFL);
	int ends[2];
	check(pipe(ends) == 0, "pipe");
	close(ends[0]);
	fflush(stdout);
	check(write(ends[1], "x", 1) == 1, "write"); // dies
}

static void files(void) {
	char name[] = "/tmp/afterlife-musl-XXXXXX", text[16] = {0};
	int fd = mkstemp(name);
	check(fd >= 0, "mkstemp");
	check(write(fd, "0123456789", 10) == 10 && lseek(fd, 4, SEEK_SET) == 4, "write");
	printf("read %d %s\n", (int)read(fd, text, 3), text);
	char *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(map != MAP_FAILED, "mmap");
	memcpy(map, "AB", 2);
	printf("pread %d %.4s\n", (int)pread(fd, text, 4, 0), text);
	ftruncate(fd, 3);
	printf("end %d\n", (int)lseek(fd, 0, SEEK_END));
	unlink(name);
	printf("open %d", open(name, O_RDONLY));
	printf(" %s\n", strerror(errno));
	struct timespec a, b, nap = {0, 30000000};
	clock_gettime(CLOCK_MONOTONIC, &a);
	nanosleep(&nap, 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	long passed = (b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec;
	printf("slept %d\n", passed >= 30000000);
	exit(42);
}

int main(int argc, char **argv) {
	struct { const char *name; void (*part)(void); } parts[] = {
		{"threads", threads}, {"children", children}, {"signals", signals},
		{"sockets", sockets}, {"files", files}};
	for (unsigned i = 0; argc > 1 && i < sizeof parts / sizeof *parts; i++)
		if (strcmp(argv[1], parts[i].name) == 0)
			parts[i].part();
	return 0;
}
