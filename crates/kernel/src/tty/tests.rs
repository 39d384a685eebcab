//! The line discipline against what this machine's kernel echoes and reads, and the console's
//! terminal.

use super::n_tty::{Heard, NTty};
use super::{TERMIOS, Termios};
use crate::abi::Errno;
use crate::abi::open::OFlags;
use crate::fs::console::StreamKind;
use crate::fs::file::{File, FileKind};
use crate::fs::testing::{Outcome, Tiny, World};
use crate::task::Pid;
use linux_raw_sys::ioctl as raw;

const READ: u64 = 0;
const IOCTL: u64 = 16;

/// What a program reads and the screen shows when this is typed.
fn typed(ldisc: &mut NTty, termios: &Termios, keys: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut heard = Heard::default();
    for key in keys {
        ldisc.receive_char(termios, *key, &mut heard);
    }
    let read = ldisc.peek(termios, 4096);
    ldisc.consume(termios, read.len());
    (read, heard.echo)
}

#[test]
fn a_line_is_edited_and_echoed_as_linux_does() {
    // Measured on 6.18: typed, read, shown.
    let cases: [(&[u8], &[u8], &[u8]); 13] = [
        (b"ab\x7fc\n", b"ac\n", b"ab\x08 \x08c\r\n"),
        (b"ab cd\x17e\n", b"ab e\n", b"ab cd\x08 \x08\x08 \x08e\r\n"),
        (b"abc\x15x\n", b"x\n", b"abc\x08 \x08\x08 \x08\x08 \x08x\r\n"),
        (b"a\tb\x7f\x7f\x7f\n", b"\n", b"a\tb\x08 \x08\x08\x08\x08\x08\x08\x08\x08\x08 \x08\r\n"),
        (b"a\x01b\x7f\x7fz\n", b"az\n", b"a^Ab\x08 \x08\x08 \x08\x08 \x08z\r\n"),
        (b"ab\x12c\n", b"abc\n", b"ab^R\r\nabc\r\n"),
        (b"a\x16\x03b\n", b"a\x03b\n", b"a^\x08^Cb\r\n"),
        (b"a\x16\nb\n", b"a\nb\n", b"a^\x08^Jb\r\n"),
        (b"\xc3\xa9\x7f\n", b"\xc3\n", b"\xc3\xa9\x08 \x08\r\n"),
        (b"a\x0fb\n", b"a\x0fb\n", b"a^Ob\r\n"),
        (b"a\x00b\n", b"a\x00b\n", b"a^@b\r\n"),
        (b"ab\x7f\x7f\x7fc\n", b"c\n", b"ab\x08 \x08\x08 \x08c\r\n"),
        (
            b"xxxxxx  y z \x17\x17\n",
            b"xxxxxx  \n",
            b"xxxxxx  y z \x08 \x08\x08 \x08\x08 \x08\x08 \x08\r\n",
        ),
    ];
    let (mut ldisc, termios) = (NTty::default(), Termios::default());
    for (keys, read, shown) in cases {
        let got = typed(&mut ldisc, &termios, keys);
        assert_eq!(got, (read.to_vec(), shown.to_vec()), "{keys:?}");
    }
}

#[test]
fn an_end_of_file_ends_a_read_and_is_not_read() {
    let (mut ldisc, termios) = (NTty::default(), Termios::default());
    assert_eq!(typed(&mut ldisc, &termios, b"xy\x04").0, b"xy");
    assert!(!ldisc.input_available(&termios, 1), "it went with what it ended");
    let mut heard = Heard::default();
    for key in b"ab\x04\x04cd\n" {
        ldisc.receive_char(&termios, *key, &mut heard);
    }
    // Measured on 6.18: reads of 2, 10 and 10 bytes.
    for (max, read) in [(2, &b"ab"[..]), (10, b""), (10, b"cd\n")] {
        assert!(ldisc.input_available(&termios, 1));
        assert_eq!(ldisc.peek(&termios, max), read);
        ldisc.consume(&termios, read.len());
    }
    assert!(!ldisc.input_available(&termios, 1));
}

#[test]
fn a_line_without_an_end_is_cut_and_can_still_be_ended() {
    let (mut ldisc, termios) = (NTty::default(), Termios::default());
    let mut heard = Heard::default();
    for _ in 0..5000 {
        assert!(ldisc.receive_room(&termios) > 0);
        ldisc.receive_char(&termios, b'q', &mut heard);
    }
    ldisc.receive_char(&termios, b'\n', &mut heard);
    assert_eq!(ldisc.receive_room(&termios), 0, "until the line is read");
    let line = ldisc.peek(&termios, 100_000);
    assert_eq!((line.len(), line.last()), (4096, Some(&b'\n')));
}

#[test]
fn what_was_typed_raw_becomes_a_line() {
    let (mut ldisc, cooked) = (NTty::default(), Termios::default());
    let mut uncooked = cooked.clone();
    uncooked.0[12] &= !0x02; // ICANON
    let mut heard = Heard::default();
    ldisc.receive_char(&uncooked, b'a', &mut heard);
    assert!(ldisc.input_available(&uncooked, 1) && !ldisc.input_available(&uncooked, 2));
    ldisc.set_termios(&uncooked, &cooked);
    assert!(ldisc.input_available(&cooked, 1));
    assert_eq!(ldisc.peek(&cooked, 10), b"a");
}

/// A world whose task has the console's terminal open.
fn at_terminal() -> (World, u64) {
    let mut w = World::new(Tiny::default());
    w.kernel.attach_console([StreamKind::Tty; 3], None);
    let file = w.kernel.files.insert(File::new(FileKind::Console(0), OFlags::RDWR));
    let table = w.kernel.table_mut(w.task);
    let fd = table.alloc_fd(0, 16, false).expect("room");
    table.fd_install(fd, file);
    (w, fd as u64)
}

#[test]
fn settings_go_round_and_a_flush_is_counted() {
    let (mut w, fd) = at_terminal();
    let mut raw_mode = Termios::default().0;
    raw_mode[12] &= !0x02; // ICANON
    let at = w.put(&raw_mode);
    w.kernel.console_input(b"typed");
    assert_eq!(w.sys(IOCTL, &[fd, raw::TCSETS.into(), at]), Ok(0));
    assert_eq!(w.sys(IOCTL, &[fd, raw::TCGETS.into(), World::OUT]), Ok(0));
    assert_eq!(w.out(TERMIOS), raw_mode);
    assert_eq!(w.sys(READ, &[fd, World::OUT, 2]), Ok(2));
    assert_eq!(w.sys(IOCTL, &[fd, raw::TCSETSF.into(), at]), Ok(0));
    assert!(matches!(w.begin(READ, &[fd, World::OUT, 2]), Outcome::Waits(..)));
    let tty = w.kernel.console_tty().expect("a terminal");
    assert_eq!((tty.settings.flushes, tty.is_canonical()), (1, false));
}

#[test]
fn a_cooked_terminal_gives_lines_and_ends_one_read() {
    let (mut w, fd) = at_terminal();
    w.kernel.console_input(b"one\ntwo\n");
    assert_eq!(w.sys(READ, &[fd, World::OUT, 100]), Ok(4));
    assert_eq!(w.sys(READ, &[fd, World::OUT, 2]), Ok(2));
    assert_eq!(w.sys(READ, &[fd, World::OUT, 100]), Ok(2));
    w.kernel.console_eof();
    assert_eq!(w.sys(READ, &[fd, World::OUT, 100]), Ok(0));
    assert!(matches!(w.begin(READ, &[fd, World::OUT, 100]), Outcome::Waits(..)));
}

#[test]
fn only_its_own_session_controls_a_terminal() {
    // ioctl_tty(2).
    let (mut w, fd) = at_terminal();
    let group = w.kernel.tasks[w.task].group;
    let pgrp = w.kernel.groups[group].tgid;
    (w.kernel.groups[group].session, w.kernel.groups[group].pgrp) = (pgrp, pgrp);
    let get = [fd, raw::TIOCGPGRP.into(), World::OUT];
    assert_eq!(w.sys(IOCTL, &get), Err(Errno::ENOTTY));
    assert_eq!(w.sys(IOCTL, &[fd, raw::TIOCSCTTY.into(), 0]), Ok(0));
    assert_eq!(w.sys(IOCTL, &get), Ok(0));
    assert_eq!(w.out(4), pgrp.0.to_le_bytes());
    let nobody = w.put(&77_u32.to_le_bytes());
    assert_eq!(w.sys(IOCTL, &[fd, raw::TIOCSPGRP.into(), nobody]), Err(Errno::ESRCH));
    // Another session has it: only root may steal it.
    let tty = w.kernel.console.tty.expect("a terminal");
    w.kernel.ttys[tty].session = Some(Pid(77));
    w.kernel.groups[group].tty = None;
    assert_eq!(w.sys(IOCTL, &[fd, raw::TIOCSCTTY.into(), 0]), Err(Errno::EPERM));
    assert_eq!(w.sys(IOCTL, &[fd, raw::TIOCSCTTY.into(), 1]), Ok(0));
}

#[test]
fn a_background_read_of_an_orphan_is_eio() {
    let (mut w, fd) = at_terminal();
    let group = w.kernel.tasks[w.task].group;
    let tty = w.kernel.console.tty.expect("a terminal");
    w.kernel.proc_set_tty(group, tty);
    w.kernel.ttys[tty].pgrp = Some(Pid(77));
    w.kernel.console_input(b"x\n");
    assert_eq!(w.sys(READ, &[fd, World::OUT, 2]), Err(Errno::EIO));
}
