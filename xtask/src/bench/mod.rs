//! `cargo xtask bench`: what things cost here, on the real kernel beside it in the same run, as
//! ratios and against the limits that we set ourselves. Times are taken outside, by whoever reads a
//! guest's `begin` and `end` (measure.rs); the guest is `tests/guests/examples/bench.rs`. A machine
//! that does other things at the same time shows in all columns, so only ratios are judged; one that
//! is over its limit fails the command.

mod measure;

use measure::{Measure, Programs, Run};
use std::time::Duration;

/// Calls in one measurement of a call.
const CALLS: u32 = 100_000;
/// Starts in one measurement of a start.
const STARTS: u32 = 15;
/// What goes through a connection, in megabytes.
const MEGABYTES: u32 = 200;

/// A figure and the limit that it should keep.
struct Verdicts(Vec<String>);

impl Verdicts {
    /// One line of the table. `limit` is what the value must stay below.
    fn line(&mut self, what: &str, value: f64, limit: f64, unit: &str, details: &str) {
        let word = if value < limit { "ok  " } else { "OVER" };
        println!("{word} {what:<42} {value:>9.2} {unit:<14} (below {limit}) {details}");
        if value >= limit {
            self.0.push(what.to_owned());
        }
    }
}

/// One measurement.
type Part = fn(&Programs, &mut Verdicts) -> Result<(), String>;

/// Measures everything whose name contains the filter.
pub fn run(filter: &str) -> Result<(), String> {
    let programs = Programs::build()?;
    let mut verdicts = Verdicts(Vec::new());
    let parts: [(&str, Part); 6] = [
        ("call", a_call),
        ("start", a_start),
        ("transfer", a_transfer),
        ("death", a_death),
        ("memory", memory),
        ("keepalive", keepalive),
    ];
    for (_, part) in parts.iter().filter(|(name, _)| name.contains(filter)) {
        part(&programs, &mut verdicts)?;
    }
    match verdicts.0.as_slice() {
        [] => Ok(()),
        over => Err(format!("bench: over its limit: {}", over.join(", "))),
    }
}

fn micros(time: Duration, times: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(times)
}

/// An emulated getppid against a supervisor that decides nothing, and against the real kernel.
fn a_call(programs: &Programs, verdicts: &mut Verdicts) -> Result<(), String> {
    let calls = CALLS.to_string();
    let per = |run: Run| micros(run.took, CALLS);
    let [ours, bare, native] = measure::in_turns(
        5,
        [&|| Ok(per(programs.ours(&["getppid", &calls])?)), &|| programs.bare_loop(CALLS), &|| {
            Ok(per(programs.native(&["getppid", &calls])?))
        }],
    )?;
    let ratio = ours.least() / bare.least();
    let (ours, bare, native) = (ours.words("µs"), bare.words("µs"), native.words("µs"));
    let details = format!("{ours}; bare loop {bare}; native {native}");
    verdicts.line("a call, to a bare SYSEMU loop", ratio, 1.5, "times", &details);
    Ok(())
}

/// Start to end of `true`.
fn a_start(programs: &Programs, verdicts: &mut Verdicts) -> Result<(), String> {
    let ours: Measure<'_> = &|| programs.start_to_end(&["run", "--", "true"]);
    let [ours, native] = measure::in_turns(STARTS, [ours, &measure::native_true])?;
    let more = ours.least() - native.least();
    let details = format!("{}; native {}", ours.words("ms"), native.words("ms"));
    verdicts.line("`true`, more than native", more, 30.0, "ms", &details);
    Ok(())
}

/// Bytes from one host to another.
fn a_transfer(programs: &Programs, verdicts: &mut Verdicts) -> Result<(), String> {
    let megabytes = MEGABYTES.to_string();
    let took = programs.two_hosts(
        &["receive", "7000"],
        &["send", "a", "7000", &megabytes],
        None,
        &format!("{} bytes", MEGABYTES << 20),
    )?;
    let speed = f64::from(MEGABYTES << 20) / 1e6 / took.as_secs_f64();
    let details = format!("{speed:.0} MB/s");
    let per_gigabyte = took.as_secs_f64() * 1000.0 / f64::from(MEGABYTES);
    verdicts.line("a transfer between two hosts", per_gigabyte, 10.0, "s per GB", &details);
    Ok(())
}

/// kill -9 of a process with connections: per connection, here and on the real kernel. Both sides run
/// the same program and measure the same: from the kill over the wait for the dead child (so all
/// FINs have left, and the other ends, in the same process as the killer, have them) to the end of
/// file at the last connection. Ours has told every step by then, and hashed it.
fn a_death(programs: &Programs, verdicts: &mut Verdicts) -> Result<(), String> {
    let mut all = Vec::new();
    for (connections, times) in [(100, 25), (1_000, 25), (10_000, 7)] {
        let word = connections.to_string();
        let per = |run: Run| micros(run.took, connections);
        let ours: Measure<'_> = &|| Ok(per(programs.ours(&["death", &word])?));
        let native: Measure<'_> = &|| Ok(per(programs.native(&["death", &word])?));
        let [ours, native] = measure::in_turns(times, [ours, native])?;
        let ratio = ours.least() / native.least();
        let details = format!("{}; native {}", ours.words("µs"), native.words("µs"));
        let what = format!("death with {connections} connections, to native");
        verdicts.line(&what, ratio, 1.0, "times", &details);
        all.push((ours.least(), native.least()));
    }
    let (growth, native) = (all[2].0 / all[0].0, all[2].1 / all[0].1);
    let details = format!("native {native:.2} times");
    verdicts.line("… each, of 10,000 to of 100", growth, 1.2, "times", &details);
    Ok(())
}

/// Memory of afterlife per established idle connection (both ends, on one host).
fn memory(programs: &Programs, verdicts: &mut Verdicts) -> Result<(), String> {
    let few = programs.ours(&["death", "100"])?.memory;
    let many = programs.ours(&["death", "10000"])?.memory;
    let each = many.saturating_sub(few) as f64 / 9_900.0 / 1024.0;
    verdicts.line("memory of an idle connection", each, 16.0, "KiB, both ends", "");
    Ok(())
}

/// An idle connection whose peer lost power: two hours and eleven minutes of virtual time.
fn keepalive(programs: &Programs, verdicts: &mut Verdicts) -> Result<(), String> {
    let hold = ["hold", "7000"];
    let took = programs
        .two_hosts(&hold, &["keepalive", "a", "7000"], Some("a"), "ETIMEDOUT")?
        .as_secs_f64();
    verdicts.line("a death by keepalive", took * 1e3, 1000.0, "ms", "");
    Ok(())
}
