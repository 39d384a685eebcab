// What Go's runtime asks of a kernel: threads, futexes, epoll, signals that pre-empt (SIGURG),
// clocks, memory that comes and goes; and what programs do with it. One word names the part.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func goroutines() {
	var wg sync.WaitGroup
	squares := make(chan int, 8)
	for i := 0; i < 100; i++ {
		wg.Add(1)
		go func(i int) { defer wg.Done(); runtime.Gosched(); squares <- i * i }(i)
	}
	go func() { wg.Wait(); close(squares) }()
	sum := 0
	for s := range squares {
		sum += s
	}
	var mutex sync.Mutex
	count := 0
	for i := 0; i < 8; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for j := 0; j < 1000; j++ {
				mutex.Lock()
				count++
				mutex.Unlock()
			}
		}()
	}
	wg.Wait()
	fmt.Println(sum, count)
}

func garbage() {
	runtime.GOMAXPROCS(4)
	type node struct{ next *node; bytes [64]byte }
	var keep *node
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := 0; i < 200_000; i++ {
		n := &node{}
		if i%100 == 0 {
			n.next, keep = keep, n
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	kept := 0
	for n := keep; n != nil; n = n.next {
		kept++
	}
	fmt.Println(kept, after.NumGC > before.NumGC)
}

func preemption() {
	runtime.GOMAXPROCS(1)
	var stop int32
	go func() { time.Sleep(3 * time.Millisecond); atomic.StoreInt32(&stop, 1) }()
	for atomic.LoadInt32(&stop) == 0 {
	}
	fmt.Println("pre-empted")
}

func loopback() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	var wg sync.WaitGroup
	answers := make([]string, 10)
	for i := range answers {
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			c, err := net.Dial("tcp", l.Addr().String())
			check(err)
			fmt.Fprintf(c, "hello %d\n", i)
			answers[i], err = bufio.NewReader(c).ReadString('\n')
			check(err)
			c.Close()
		}(i)
	}
	wg.Wait()
	sort.Strings(answers)
	fmt.Print(answers[0], answers[9])
	c, err := net.Dial("tcp", l.Addr().String())
	check(err)
	c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
	_, err = c.Read(make([]byte, 1))
	fmt.Println(err.(net.Error).Timeout())
	l.Close()
	_, err = net.Dial("tcp", l.Addr().String())
	fmt.Println(err.(*net.OpError).Err)
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(err)
	u.WriteTo([]byte("datagram"), u.LocalAddr())
	b := make([]byte, 99)
	n, _, err := u.ReadFrom(b)
	fmt.Println(string(b[:n]), err)
}

func commands() {
	out, err := exec.Command("sh", "-c", "echo out; exit 3").Output()
	fmt.Printf("%s%v\n", out, err)
	c := exec.Command("tr", "a-z", "A-Z")
	in, _ := c.StdinPipe()
	go func() { io.WriteString(in, "shout\n"); in.Close() }()
	out, err = c.CombinedOutput()
	fmt.Printf("%s%v\n", out, err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	fmt.Println(exec.CommandContext(ctx, "sleep", "100").Run())
}

func signals() {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGUSR1, syscall.SIGTERM)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-c)
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	fmt.Println(<-c)
	signal.Reset(syscall.SIGTERM)
	defer func() { fmt.Println(recover()); syscall.Kill(os.Getpid(), syscall.SIGTERM); select {} }()
	var nothing *[4]int
	fmt.Println(nothing[2])
}

func timers() {
	start := time.Now()
	select {
	case <-time.After(30 * time.Millisecond):
		fmt.Println("after")
	case <-make(chan int):
	}
	t := time.NewTicker(10 * time.Millisecond)
	for i := 0; i < 3; i++ {
		<-t.C
	}
	fmt.Println(time.Since(start) >= 60*time.Millisecond)
}

func main() {
	parts := map[string]func(){"goroutines": goroutines, "garbage": garbage, "preemption": preemption,
		"loopback": loopback, "commands": commands, "signals": signals, "timers": timers}
	for _, name := range os.Args[1:] {
		parts[name]()
	}
}
