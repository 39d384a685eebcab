//! Bulk data over a fast link: how much virtual time it takes, and that nothing grows meanwhile. The same
//! with real programs, a gibibyte and the real kernel beside it is `cargo xtask throughput`; the times
//! here are what its program and its link needed on the real kernel for as much.

mod common;

use common::*;
use lab::Step;
use lab::scripted::{Insn, Is, Program, Reg};

const RECVFROM: u64 = 45;
const MSG_WAITALL: u64 = 0x100;
/// What goes through one call.
const CHUNK: u64 = 1 << 18;
/// What goes through.
const MIB: u64 = 16;
/// By how much what is in the buffers may differ: less than passes meanwhile.
const SETTLING: i64 = 3 << 20;

/// All of it, by calls of `CHUNK` bytes; where the buffer is.
fn repeat(program: &mut Program, nr: u64, flags: u64) -> u64 {
    let buffer = program.space(CHUNK);
    program.set(Reg::R12, (MIB << 20) / CHUNK);
    let again = program.mark();
    program.call(nr, [Reg::Rbx.into(), buffer.into(), CHUNK.into(), flags.into()]);
    program.expect(CHUNK as i64, 21);
    program.push(Insn::Add(Reg::R12, (-1).into()));
    program.push(Insn::JumpIf(Reg::R12.into(), Is::NotEqual, 0.into(), again));
    buffer
}

/// Virtual seconds until the sender sees the receiver's end, and by how many bytes the hosts grew between
/// two moments meanwhile: what they hold is what they show.
fn transfer(keys: &str, moments: [f64; 2]) -> (f64, i64) {
    let (mut receiver, mut sender) = (server(), client(0));
    repeat(&mut receiver, RECVFROM, MSG_WAITALL);
    let buffer = repeat(&mut sender, SENDTO, 0);
    receiver.exit(7);
    sender.call(READ, [Reg::Rbx.into(), buffer.into(), 1.into()]);
    sender.expect(0, 22);
    sender.exit(7);
    let link = format!(
        "[[link]]\nbetween = [\"a\", \"b\"]\nbandwidth = \"10Gbit/s\"\nqueue = 4000\n{keys}\n"
    );
    let mut world = world_of(receiver, sender, ["", ""], &link);
    world.skip_story();
    let sizes = moments.map(|moment| {
        while (world.now().as_nanos() as f64) < moment * 1e9 {
            assert_eq!(world.step(), Step::Moved);
            drop(world.take_records());
        }
        format!("{:?}", world.hosts).len() as i64
    });
    while world.step() == Step::Moved {
        drop(world.take_records());
    }
    (client_ended(&world) - 0.001, sizes[1] - sizes[0])
}

#[test]
fn bulk_data_takes_the_time_that_it_takes_and_no_memory() {
    for (keys, moments, real) in [
        ("latency = \"1ms\"", [0.02, 0.03], 0.034),
        ("latency = \"100ms\"", [2.05, 2.45], 2.855),
        ("latency = \"1ms\"\nloss = \"1%\"", [0.5, 2.5], 2.726),
    ] {
        let (took, growth) = transfer(keys, moments);
        assert!((took / real - 1.).abs() < 0.1, "{took} s with {keys}");
        assert!(growth < SETTLING, "{growth} bytes more with {keys}");
    }
}
