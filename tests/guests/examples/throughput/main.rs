//! What `cargo xtask throughput` measures, as a guest program. `throughput receive PORT` and `throughput
//! send HOST PORT BYTES` are one transfer, between any two hosts; the sender prints how long it took. And
//! `throughput link KEY=VALUE…` is that transfer on the real kernel, over a link of its own making: two
//! network namespaces, a tun device in each (tun.rs), and between them what tc-netem(8) would do where the
//! kernel has it (queue.rs, forward.rs). Not a program of cases: see `src/case.rs` for those.

mod bulk;
mod forward;
mod packet;
mod queue;
mod tun;

use guests::sys::small;
use queue::Shape;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

fn main() -> Result<(), String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["receive", port] => {
            let listener = TcpListener::bind(format!("0.0.0.0:{port}"));
            bulk::receive(&listener.map_err(|e| e.to_string())?)
        }
        ["send", host, port, bytes] => {
            let bytes = number(bytes)?;
            bulk::send(bytes, || TcpStream::connect(format!("{host}:{port}")))
        }
        ["link", settings @ ..] => link(settings),
        _ => Err(format!("throughput: no such thing to do: {}", words.join(" "))),
    }
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("throughput: not a number: {word}"))
}

/// The transfer on the real kernel.
fn link(settings: &[&str]) -> Result<(), String> {
    let mut shape = Shape { latency: 0, bandwidth: 1_000_000_000, queue: 1000, loss: 0, seed: 1 };
    let (mut bytes, mut joined) = (1 << 30, true);
    for setting in settings {
        let (key, value) = setting.split_once('=').ok_or(format!("{setting} has no value"))?;
        let value = number(value)?;
        match key {
            "bytes" => bytes = value,
            "joined" => joined = value != 0,
            "latency" => shape.latency = value,
            "bandwidth" => shape.bandwidth = value,
            "queue" => shape.queue = value as usize,
            "loss" => shape.loss = value,
            "seed" => shape.seed = value,
            _ => return Err(format!("throughput: a link has no {key}")),
        }
    }
    let address = |last| Ipv4Addr::new(10, 9, 1, last);
    // A thread stays in its namespace, and so do its sockets and devices.
    let device = tun::create(address(1))?;
    let listener = TcpListener::bind((address(1), 0)).map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    let (tell, told) = std::sync::mpsc::channel();
    let done = Arc::new(AtomicBool::new(false));
    let receiver = thread::spawn(move || {
        in_real_time(0, 1)?;
        bulk::receive(&listener)
    });
    let sender = thread::spawn(move || {
        let other = in_real_time(0, 1).and_then(|()| tun::create(address(2)));
        let ready = other.is_ok();
        tell.send(other).map_err(|e| e.to_string())?;
        if !ready {
            return Ok(());
        }
        bulk::send(bytes, || TcpStream::connect((address(1), port)))
    });
    let other = told.recv().map_err(|e| e.to_string())??;
    let until = Arc::clone(&done);
    let forwarder = thread::spawn(move || {
        in_real_time(1, 2)?;
        Ok::<String, String>(forward::forward([device, other], &shape, joined, &until))
    });
    let sent = sender.join().map_err(|_| "throughput: the sender died")?;
    // Without a sender the receiver waits for ever.
    sent?;
    let received = receiver.join().map_err(|_| "throughput: the receiver died")?;
    done.store(true, Ordering::Relaxed);
    let forwarded = forwarder.join().map_err(|_| "throughput: the forwarder died")?;
    println!("link: {}", forwarded?);
    received
}

/// The calling thread runs on this processor of two, before all threads that are not in real time: the
/// link is to be as it says, whatever else the machine does.
fn in_real_time(processor: usize, priority: i32) -> Result<(), String> {
    // SAFETY: zeros are a set without members, and it has room for the first processors.
    let set = unsafe {
        let mut set: libc::cpu_set_t = core::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set)
    };
    small("sched_setaffinity", set)?;
    let priority = libc::sched_param { sched_priority: priority };
    // SAFETY: a struct sched_param that lives here.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    small("sched_setscheduler", set)?;
    Ok(())
}
