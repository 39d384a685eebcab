//! Hosts that fall silent and come back, on the wire and in the client's calls: tests/guests' `dark`
//! holds one connection for each row of a scene (state × keepalive × TCP_USER_TIMEOUT × what the
//! client does meanwhile), and somebody cuts the way, kills the server or reboots its host. The same
//! segments, results and (within the slack of the real timers) times are wanted from the real kernel
//! and from afterlife. T-53 to T-58, P-2 to P-13. Neighbours: `routed`, `matrix`, `segments`.

use super::facts;
use super::matrix::build;
use super::routed::Routed;
use super::segments::{Raw, Story, captured, compare, number, told};
use super::wires::{ADDRESSES, Capture, inside, kill_alone, start, wait_for_listener};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const PORT: u16 = 7000;
/// In afterlife the client starts after 100 ms, and is ready then.
const READY: f64 = 3.6;

/// What goes wrong, when, in seconds after the client is ready.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fault {
    Cut,
    Heal,
    Kill,
    /// The server's host loses its power: for whoever is outside, a cut.
    Off,
    Boot,
}

/// The scenes of `dark`, with what goes wrong: nothing within 0.25 s of a retransmission.
const SCENES: [(&str, &[(f64, Fault)]); 6] = [
    ("full", &[]),
    ("gone", &[(0.5, Fault::Off)]),
    ("reboot", &[(0.5, Fault::Off), (2.2, Fault::Boot)]),
    ("healed", &[(0.5, Fault::Cut), (2.25, Fault::Heal)]),
    ("dying", &[(0.5, Fault::Cut), (1.6, Fault::Kill), (2.95, Fault::Heal)]),
    ("late", &[(0.5, Fault::Cut), (1.6, Fault::Kill), (2.95, Fault::Heal)]),
];

/// A side's segments and what its client printed.
type Told = (Story, Vec<String>);

/// Runs all scenes on the real kernel at once, then in afterlife, and compares.
pub fn run(scratch: &Path) -> Result<(), String> {
    let program = build("dark")?;
    let program = program.as_path();
    let real: Vec<Result<Told, String>> = std::thread::scope(|scope| {
        let run = |(name, faults)| scope.spawn(move || native(program, scratch, name, faults));
        let threads: Vec<_> = SCENES.into_iter().map(run).collect();
        let result = |t: std::thread::ScopedJoinHandle<'_, _>| {
            t.join().unwrap_or_else(|_| Err("twin: a scene panicked".into()))
        };
        threads.into_iter().map(result).collect()
    });
    let (mut differences, mut rows, mut segments) = (0, 0, 0);
    for ((name, faults), real) in SCENES.into_iter().zip(real) {
        let real = real?;
        let ours = afterlife(program, scratch, name, faults)?;
        (rows, segments) = (rows + real.1.len(), segments + real.0.segments.len());
        differences += scene(name, &real, &ours);
    }
    if differences == 0 && rows > 0 {
        println!("twin: {rows} rows of silence, {segments} segments agree");
        Ok(())
    } else {
        Err(format!("twin: {differences} differences in {rows} rows of silence"))
    }
}

/// Compares one scene, row by row.
fn scene(scene: &str, real: &Told, ours: &Told) -> u32 {
    let mut differences = 0;
    for row in 0..real.1.len().max(ours.1.len()) {
        let (line, our_line) = (real.1.get(row), ours.1.get(row));
        if !same(line, our_line) {
            println!("twin: DIFFERS: {scene}\n  real {line:?}\n  ours {our_line:?}");
            differences += 1;
        }
        let name = line.and_then(|l| l.split(':').next()).unwrap_or_default();
        // How a window fills depends on the sizes of buffers and of segmentation offload.
        if !name.starts_with("Full") {
            let what = format!("{scene}: {name}");
            differences += compare(&what, &real.0, &ours.0, |s| s.connection == row);
        }
    }
    differences
}

/// The same words, and times that differ by no more than timers and schedulers do.
fn same(real: Option<&String>, ours: Option<&String>) -> bool {
    let (Some(real), Some(ours)) = (real, ours) else { return false };
    let parts = |line: &str| -> Vec<String> { line.splitn(3, ": ").map(str::to_owned).collect() };
    let (real, ours) = (parts(real), parts(ours));
    let time = |parts: &[String]| parts.get(1).and_then(|t| t.parse::<f64>().ok());
    let near = match (time(&real), time(&ours)) {
        (Some(real), Some(ours)) => (real - ours).abs() <= 0.15 + 0.05 * ours,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    near && real.first() == ours.first() && real.get(2) == ours.get(2)
}

fn native(
    program: &Path,
    scratch: &Path,
    scene: &str,
    faults: &[(f64, Fault)],
) -> Result<Told, String> {
    let routed = Routed::lay(scene)?;
    let (a, b) = (routed.side("a"), routed.side("b"));
    let file = scratch.join(format!("{scene}.txt"));
    let capture = Capture::start(&b, &file)?;
    let port = PORT.to_string();
    let mut server = Some(start(inside(&a, program, &["server", &port, scene]))?);
    wait_for_listener(&a, PORT)?;
    let mut client = start(inside(&b, program, &["client", ADDRESSES[0], &port, scene]))?;
    let mut said = BufReader::new(client.stdout.take().ok_or("twin: no pipe")?);
    let mut ready = String::new();
    said.read_line(&mut ready).map_err(|e| format!("twin: {e}"))?;
    let ready = Instant::now();
    for (at, fault) in faults {
        sleep(Duration::from_secs_f64(*at).saturating_sub(ready.elapsed()));
        match fault {
            Fault::Cut => routed.cut()?,
            Fault::Heal | Fault::Boot => routed.heal()?,
            Fault::Off => {
                routed.cut()?;
                server.take().map(kill_alone).transpose()?;
                routed.reboot()?;
            }
            Fault::Kill => drop(server.take().map(kill_alone).transpose()?),
        }
    }
    let lines: Result<Vec<String>, _> = said.lines().collect();
    let lines = lines.map_err(|e| format!("twin: {e}"))?;
    client.wait().map_err(|e| format!("twin: {e}"))?;
    capture.end();
    if let Some(server) = server.take() {
        kill_alone(server)?;
    }
    let text = std::fs::read_to_string(&file).map_err(|e| format!("twin: {e}"))?;
    Ok((story(text.lines().filter_map(captured)), lines))
}

fn story(segments: impl Iterator<Item = Raw>) -> Story {
    Story { segments: number(segments), outputs: BTreeMap::new() }
}

fn afterlife(
    program: &Path,
    scratch: &Path,
    scene: &str,
    faults: &[(f64, Fault)],
) -> Result<Told, String> {
    let (program, port) = (program.display().to_string(), PORT.to_string());
    let process = |name: &str, host: &str, start: &str, words: &[&str]| {
        let command = [&[program.as_str()], words].concat();
        format!(
            "[[process]]\nname = \"{name}\"\nhost = \"{host}\"\nstart = \"{start}\"\n\
             command = {command:?}\n"
        )
    };
    let mut text = process("server", "a", "0s", &["server", &port, scene])
        + &process("client", "b", "100ms", &["client", ADDRESSES[0], &port, scene]);
    for (at, fault) in faults {
        let what = match fault {
            Fault::Cut => "partition = [\"a\", \"b\"]",
            Fault::Heal => "heal = [\"a\", \"b\"]",
            Fault::Kill => "kill = \"server\"",
            Fault::Off => "power-off = \"a\"",
            Fault::Boot => "power-on = \"a\"",
        };
        text += &format!("[[fault]]\nat = \"{:.2}s\"\n{what}\n", READY + at);
    }
    let path = scratch.join(format!("{scene}.toml"));
    std::fs::write(&path, text).map_err(|e| format!("twin: {e}"))?;
    let (mut segments, mut said) = (Vec::new(), String::new());
    for fact in facts(&path, scratch)? {
        match fact["kind"].as_str() {
            Some("segment") => segments.extend(told(&fact, |port| port == PORT)),
            // tcpdump listens on the client's side: there it never was.
            Some("dropped") => {
                let lost = told(&fact, |port| port == PORT);
                let lost = lost.filter(|lost| lost.from.starts_with(ADDRESSES[0]));
                if let Some(at) = lost.and_then(|l| segments.iter().rposition(|s| *s == l)) {
                    segments.remove(at);
                }
            }
            Some("output") => said.push_str(fact["text"].as_str().unwrap_or_default()),
            _ => {}
        }
    }
    let lines = said.lines().filter(|line| line.contains(": ")).map(str::to_owned).collect();
    Ok((story(segments.into_iter()), lines))
}
