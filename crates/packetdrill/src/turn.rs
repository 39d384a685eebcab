//! One call from packetdrill: a [`Turn`] has the host for itself while it puts arguments into memory,
//! makes a system call and takes the results out. A call that waits lets go of the host; in the
//! thread for such calls until the script's time or packets end it, in the script's own until the
//! next timers do. Neighbours: `border` (who calls), `host`.

use crate::host::{Calling, Host, Who};
use kernel::time::{Duration, Instant};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

/// What the clock moves each time that it is asked for: packetdrill waits by asking.
const TICK: Duration = Duration::from_micros(1);

/// What packetdrill's threads share.
pub struct Drill {
    host: Mutex<Host>,
    /// A call came back, or its result was taken.
    changed: Condvar,
    /// Who speaks for the script.
    script: ThreadId,
}

/// The host in the hands of one thread.
pub struct Turn<'a> {
    drill: &'a Drill,
    host: MutexGuard<'a, Host>,
    who: Who,
}

impl Drill {
    /// A host for the script that this thread runs.
    ///
    /// # Errors
    /// See [`Host::boot`].
    pub fn new(flags: &str) -> Result<Drill, String> {
        Ok(Drill {
            host: Mutex::new(Host::boot(flags)?),
            changed: Condvar::new(),
            script: std::thread::current().id(),
        })
    }

    /// Takes the host. The script's thread lets a call that came back meanwhile finish first, so
    /// that what it says of its end is said before anything else happens.
    pub fn turn(&self) -> Turn<'_> {
        let mut host = self.host.lock().unwrap_or_else(PoisonError::into_inner);
        let script = std::thread::current().id() == self.script;
        let who = if script { Who::Script } else { Who::Waiter };
        while who == Who::Script
            && matches!(host.caller(Who::Waiter).calling, Calling::Done(..) | Calling::Taken(_))
        {
            host = self.changed.wait(host).unwrap_or_else(PoisonError::into_inner);
        }
        host.caller(who).used = 0;
        Turn { drill: self, host, who }
    }
}

impl Turn<'_> {
    /// Puts bytes into memory; gives their address. NULL stays NULL.
    pub fn put(&mut self, bytes: Option<&[u8]>) -> u64 {
        bytes.map_or(0, |bytes| self.host.put(self.who, bytes))
    }

    /// Takes bytes out of memory, unless there is nobody to take them.
    pub fn get(&mut self, at: u64, into: Option<&mut [u8]>) {
        if let Some(into) = into {
            self.host.get(self.who, at, into);
        }
    }

    /// Makes a system call and waits for it: the value, or −errno.
    pub fn call(mut self, nr: u64, args: [u64; 6]) -> (Self, i64) {
        self.follow_machine();
        if let Some(value) = self.host.start(self.who, nr, args) {
            return (self, value as i64);
        }
        loop {
            match self.host.caller(self.who).calling {
                Calling::Done(value, at) => {
                    self.host.caller(self.who).calling = match self.who {
                        Who::Waiter => Calling::Taken(at),
                        // It asks for the time like anybody else.
                        Who::Script => Calling::No,
                    };
                    return (self, value as i64);
                }
                Calling::No | Calling::Taken(_) => unreachable!("the call waits"),
                Calling::Waits => self = self.wait(nr),
            }
        }
    }

    fn wait(mut self, nr: u64) -> Self {
        match self.who {
            Who::Waiter => {
                let host = self.drill.changed.wait(self.host);
                self.host = host.unwrap_or_else(PoisonError::into_inner);
            }
            Who::Script => {
                assert!(
                    self.host.step(Instant(u64::MAX)),
                    "call {nr} of the script waits for ever: write it as a call that blocks"
                );
            }
        }
        self
    }

    /// A packet arrives. One that we can't read is told, and lost.
    pub fn deliver(mut self, packet: &[u8]) {
        self.follow_machine();
        if let Err(why) = self.host.deliver(packet) {
            eprintln!("afterlife: a packet of the script is lost: {why}");
        }
        self.drill.changed.notify_all();
    }

    /// The next packet that leaves, which time passes for. None: none ever will.
    pub fn receive(mut self) -> Option<(u64, Vec<u8>)> {
        loop {
            if let Some((at, bytes)) = self.host.take_packet() {
                return Some((self.script_time(at), bytes));
            }
            if !self.host.step(Instant(u64::MAX)) {
                return None;
            }
            self.drill.changed.notify_all();
        }
    }

    /// Time passes.
    pub fn sleep(mut self, time: Duration) {
        self.host.pass(time);
        self.drill.changed.notify_all();
    }

    /// Microseconds since 1970. For a call that waited, the time at which it came back.
    pub fn time(mut self) -> u64 {
        if let (Who::Waiter, Calling::Taken(at)) = (self.who, self.host.caller(self.who).calling) {
            self.host.caller(self.who).calling = Calling::No;
            self.drill.changed.notify_all();
            return self.script_time(at);
        }
        self.host.pass(TICK);
        self.drill.changed.notify_all();
        let now = self.host.kernel.now;
        self.script_time(now)
    }

    fn script_time(&self, at: Instant) -> u64 {
        self.host.kernel.config.epoch * 1_000_000 + at.as_nanos() / 1000
    }

    /// The settings that the script's commands made on the machine are the host's.
    fn follow_machine(&mut self) {
        if self.who == Who::Waiter {
            return;
        }
        let mut sysctls = core::mem::take(&mut self.host.sysctls);
        sysctls.follow(&mut self.host);
        self.host.sysctls = sysctls;
        let mut device = core::mem::take(&mut self.host.device);
        device.follow(&mut self.host);
        self.host.device = device;
    }
}
