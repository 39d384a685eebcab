//! `afterlife deaths`: the same scenario and the same moment, every way to die side by side: what went
//! out on the wire, what each peer's calls returned, when it knew. Neighbours: `lab::deaths` (the
//! deaths, and what is seen of them), `run` (how a scenario is read), `args`.

use crate::args::DeathsArgs;
use crate::guests;
use crate::run::{ERROR, read_scenario};
use crate::stop::Stop;
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use kernel::abi::Errno;
use kernel::net::tcp::Flags;
use kernel::platform::Platform;
use kernel::time::{Duration, Instant};
use lab::deaths::{Called, DEATHS, Outcome, Peer, Plan, Sent, watch};
use lab::world::Fate;
use lab::{Options, Scenario, World, verdict};
use platform::ptrace::{self, Ptrace};
use rustix::termios::tcgetwinsize;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;

/// So many different results of calls are shown, and so many kinds of segments.
const SHOWN: usize = 6;
/// A line below the heads, and no others.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));
/// Columns where the terminal does not say.
const WIDTH: u16 = 140;

/// Shows every death of a process; the exit status, or a sentence that says why not.
pub fn run(args: &DeathsArgs) -> Result<u8, String> {
    let mut scenario = read_scenario(&args.scenario)?;
    if let Some(seed) = args.seed {
        scenario.seed = seed;
    }
    if let Some(until) = args.until {
        scenario.until = Instant::ZERO + until;
    }
    let plan = Plan::new(&scenario, &args.process, args.at)
        .map_err(|why| format!("{}: {why}", args.scenario.display()))?;
    let stop = Stop::install(false).map_err(|e| format!("cannot listen for Ctrl-C: {e}"))?;
    let (mut outcomes, mut doubts) = (Vec::new(), Vec::new());
    for death in DEATHS {
        let scenario = plan.scenario(&scenario, death);
        if scenario.faults.is_empty() {
            continue; // a partition of the only host
        }
        let platform = Ptrace::new(ptrace::Config::default()).map_err(|e| e.to_string())?;
        let mut world = World::new(platform, scenario, &Options::default());
        guests::install(&mut world);
        let mut asked = None;
        let outcome = watch(&mut world, &plan, &mut || {
            asked = asked.or_else(|| stop.take());
            asked.is_none()
        });
        let Some(outcome) = outcome else { return Ok(ERROR) };
        if let Some((process, why)) = &outcome.not_started {
            let line = world
                .scenario
                .processes
                .iter()
                .find(|it| it.name == *process)
                .map_or(0, |it| it.line);
            let file = args.scenario.display();
            return Err(format!("{file}:{line}: {process} cannot be started: {why}"));
        }
        if let Some(missed) = &outcome.missed {
            let (at, file) = (span(plan.at), args.scenario.display());
            return Err(format!("{file}: at {at} nothing can die: {missed}; choose another --at"));
        }
        doubts.extend(doubt(death.name, &world));
        outcomes.push((death.name, outcome));
    }
    let text = report(&scenario, &plan, &outcomes) + &doubts.concat();
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(crate::run::BROKEN_PIPE),
        Err(error) => Err(format!("standard output: {error}")),
        Ok(()) => Ok(0),
    }
}

/// What makes a row less certain: calls and options that are not here, and what does not repeat.
fn doubt<P: Platform>(death: &str, world: &World<P>) -> Vec<String> {
    let missing = world.unsupported().iter();
    let missing = missing.map(|(name, times)| format!("\n{death}: not here: {name} (× {times})\n"));
    let chance = world.chance().map(|why| format!("\n{death}: this run may not repeat: {why}\n"));
    missing.chain(chance).collect()
}

/// A table for each peer, and one of what became of the process.
fn report(scenario: &Scenario, plan: &Plan, outcomes: &[(&str, Outcome)]) -> String {
    let spec = scenario.processes.iter().find(|it| it.name == plan.process);
    let host = spec.map_or("", |spec| scenario.hosts[spec.host].name.as_str());
    let mut text = format!("{} on {host}, at {}:\n", plan.process, span(plan.at));
    let mut table = new_table(&["death", "what became of the process"]);
    for (death, outcome) in outcomes {
        table.add_row([(*death).to_owned(), fate(&outcome.fate)]);
    }
    text += &format!("{}\n", table.trim_fmt());
    let mut peers: BTreeMap<(SocketAddr, SocketAddr), &Peer> = BTreeMap::new();
    for peer in outcomes.iter().flat_map(|(_, outcome)| &outcome.peers) {
        peers.entry((peer.local, peer.remote)).or_insert(peer);
    }
    if peers.is_empty() {
        text += &format!("\nNobody had a TCP connection with {} then.\n", plan.process);
    }
    for ((local, remote), peer) in peers {
        let state = peer.state.name();
        text += &format!("\n{} on {}: {local} → {remote}, {state}\n", peer.process, peer.host);
        let mut table = new_table(&["death", "on the wire", "what its calls returned", "it knew"]);
        for (death, outcome) in outcomes {
            let same = |it: &&Peer| it.local == local && it.remote == remote;
            let Some(peer) = outcome.peers.iter().find(same) else { continue };
            let knew =
                peer.knew.map_or_else(|| "never".to_owned(), |it| format!("after {}", span(it)));
            table.add_row([(*death).to_owned(), wire(&peer.sent), calls(&peer.calls), knew]);
        }
        text += &format!("{}\n", table.trim_fmt());
    }
    text
}

fn new_table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    let stdout = io::stdout();
    let columns = tcgetwinsize(&stdout).map(|size| size.ws_col).ok();
    let columns = columns.filter(|_| stdout.is_terminal()).filter(|it| *it > 40);
    table.load_style(STYLE);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns.unwrap_or(WIDTH));
    table.set_header(heads.iter().copied());
    table
}

fn fate((fate, after): &(Fate, Duration)) -> String {
    match fate {
        Fate::Ended(status, _) => {
            format!("{} after {}", verdict::describe(*status), span(*after))
        }
        Fate::Lost(_) => "it went with its host's power".to_owned(),
        Fate::Running(_) => "it lives on".to_owned(),
        Fate::Waiting | Fate::NotStarted => "it never ran".to_owned(),
    }
}

/// Segments by what they say: when the first came, and how many.
fn wire(sent: &[Sent]) -> String {
    if sent.is_empty() {
        return "silence".to_owned();
    }
    let mut kinds: Vec<(&str, bool, Duration, usize)> = Vec::new();
    for segment in sent {
        let says = says(segment);
        match kinds.iter_mut().find(|(kind, lost, ..)| *kind == says && *lost == segment.lost) {
            Some((.., count)) => *count += 1,
            None => kinds.push((says, segment.lost, segment.after, 1)),
        }
    }
    let word = |(says, lost, first, count): &(&str, bool, Duration, usize)| {
        let lost = if *lost { ", lost" } else { "" };
        match count {
            1 => format!("{says} after {}{lost}", span(*first)),
            _ => format!("{count} × {says} from {} on{lost}", span(*first)),
        }
    };
    shown(&kinds.iter().map(word).collect::<Vec<_>>())
}

fn says(segment: &Sent) -> &'static str {
    let has = |flag| segment.flags.has(flag);
    match () {
        () if has(Flags::RST) => "RST",
        () if has(Flags::SYN) => "SYN",
        () if has(Flags::FIN) => "FIN",
        () if segment.len > 0 => "data",
        () => "ACK",
    }
}

/// Results in order, those that repeat once.
fn calls(calls: &[Called]) -> String {
    let mut results: Vec<(String, usize)> = Vec::new();
    for call in calls {
        let result = match call.result {
            error @ -4095..=-1 => format!("{:?}", Errno::from_raw(-error as i32)),
            result => result.to_string(),
        };
        let text = format!("{} → {result}", call.name);
        match results.last_mut() {
            Some((last, count)) if *last == text => *count += 1,
            Some(_) | None => results.push((text, 1)),
        }
    }
    if results.is_empty() {
        return "nothing: no call came back".to_owned();
    }
    let word = |(text, count): &(String, usize)| match count {
        1 => text.clone(),
        _ => format!("{text} (× {count})"),
    };
    shown(&results.iter().map(word).collect::<Vec<_>>())
}

/// The first few.
fn shown(words: &[String]) -> String {
    let more = words.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{rest}", words[..words.len() - more].join(", "))
}

/// A time as one says it: "0.2 ms", "5 s", "2 h 11 min 15 s".
fn span(time: Duration) -> String {
    const SECOND: u128 = 1_000_000_000;
    let nanos = time.as_nanos();
    match nanos {
        0 => "0 s".to_owned(),
        1..1_000_000 => format!("{} µs", rounded(nanos, 1_000)),
        1_000_000..SECOND => format!("{} ms", rounded(nanos, 1_000_000)),
        SECOND..120_000_000_000 => format!("{} s", rounded(nanos, SECOND)),
        _ => {
            let seconds = (nanos + SECOND / 2) / SECOND;
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let parts = [(hours, "h"), (minutes, "min"), (seconds, "s")];
            let parts = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}"));
            parts.collect::<Vec<_>>().join(" ")
        }
    }
}

/// With one decimal where it is not zero.
fn rounded(nanos: u128, unit: u128) -> String {
    let tenths = (nanos * 10 + unit / 2) / unit;
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        rest => format!("{}.{rest}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_people_say_them() {
        let said = [200, 1_500, 200_000, 15_500_000, 5_000_000_000, 7_875_000_000_000];
        let said = said.map(|nanos| span(Duration::from_nanos(nanos)));
        assert_eq!(said, ["0.2 µs", "1.5 µs", "200 µs", "15.5 ms", "5 s", "2 h 11 min 15 s"]);
    }

    #[test]
    fn segments_of_a_kind_are_counted_and_lost_ones_apart() {
        let at = |ms, flags, lost| Sent { after: Duration::from_millis(ms), flags, len: 0, lost };
        let fin = Flags::FIN | Flags::ACK;
        let sent =
            [at(0, fin, true), at(200, fin, true), at(400, fin, false), at(401, Flags::RST, false)];
        assert_eq!(wire(&sent), "2 × FIN from 0 s on, lost, FIN after 400 ms, RST after 401 ms");
        assert_eq!(wire(&[]), "silence");
    }

    #[test]
    fn results_that_repeat_are_told_once() {
        let call = |name, result| Called { after: Duration::ZERO, name, result };
        let all = [call("poll", 0), call("poll", 0), call("read", 0), call("write", -32)];
        assert_eq!(calls(&all), "poll → 0 (× 2), read → 0, write → EPIPE");
        let many: Vec<Called> = (0..9).map(|i| call("read", i)).collect();
        assert!(calls(&many).ends_with("read → 5, and 3 more"), "{}", calls(&many));
    }
}
