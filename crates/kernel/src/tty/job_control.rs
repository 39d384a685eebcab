//! Sessions and their terminals: who controls which, who is in the foreground, and what a session
//! gets when its leader or its terminal goes (rules ). Neighbours: `ioctl`, `pty`,
//! `task/session`, `task/signal/job_control`; man pages: credentials(7), ioctl_tty(2), termios(3).

use crate::abi::Errno;
use crate::abi::signal::Signal;
use crate::kernel::Kernel;
use crate::syscall::{Call, Restart};
use crate::task::capability::Cap;
use crate::task::signal::SigInfo;
use crate::task::signal::Target;
use crate::task::signal::sigaction::SIG_IGN;
use crate::task::{GroupId, TaskId};
use crate::tty::TtyId;
use linux_raw_sys::general::TOSTOP;

impl Kernel {
    /// The controlling terminal of a task (signal->tty).
    pub fn current_tty(&self, task: TaskId) -> Option<TtyId> {
        self.groups[self.tasks[task].group].tty
    }

    /// __tty_check_change(): a background process that reads (SIGTTIN), or writes or sets
    /// (SIGTTOU), is stopped and tries again in the foreground. Who blocks or ignores the signal
    /// gets EIO for a read and may do the rest; an orphaned group gets EIO. Job control, termios(3).
    pub(super) fn tty_check_change(
        &mut self,
        call: &Call<'_>,
        tty: TtyId,
        signal: Signal,
    ) -> Result<(), Errno> {
        let group = &self.groups[self.tasks[call.task].group];
        let pgrp = group.pgrp;
        let foreground = self.ttys[tty].pgrp;
        if group.tty != Some(tty) || foreground.is_none_or(|foreground| foreground == pgrp) {
            return Ok(());
        }
        let ignored = self.sighands[group.sighand].of(signal).handler == SIG_IGN;
        if ignored || self.tasks[call.task].blocked.has(signal) {
            return if signal == Signal::SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
        }
        if self.is_orphaned_pgrp(pgrp, None) {
            return Err(Errno::EIO);
        }
        self.kill_pgrp(pgrp, signal);
        // ERESTARTSYS: the signal is on its way to this very task.
        self.tasks[call.task].restart = Some((Restart::Sys, None));
        Err(Errno::EINTR)
    }

    /// job_control(): may this process read from the terminal now?
    pub fn tty_may_read(&mut self, call: &Call<'_>, tty: TtyId) -> Result<(), Errno> {
        self.tty_check_change(call, tty, Signal::SIGTTIN)
    }

    /// May this process write to the terminal now?
    pub fn tty_may_write(&mut self, call: &Call<'_>, tty: TtyId) -> Result<(), Errno> {
        let stops = self.ttys[tty].settings.termios.l(TOSTOP);
        if stops { self.tty_check_change(call, tty, Signal::SIGTTOU) } else { Ok(()) }
    }

    /// proc_set_tty(): the terminal controls this process' session, with it in the foreground.
    pub fn proc_set_tty(&mut self, group: GroupId, tty: TtyId) {
        let g = &mut self.groups[group];
        g.tty = Some(tty);
        g.tty_old_pgrp = None;
        let (session, pgrp) = (g.session, g.pgrp);
        let tty = &mut self.ttys[tty];
        (tty.session, tty.pgrp) = (Some(session), Some(pgrp));
    }

    /// tty_open_proc_set_tty(): a session's leader without a terminal gets the one that it opens,
    /// if it is nobody's and opened for reading.
    pub(super) fn tty_open_proc_set_tty(&mut self, task: TaskId, tty: TtyId, readable: bool) {
        let group = self.tasks[task].group;
        let g = &self.groups[group];
        let leads = g.session == g.tgid;
        if leads && readable && g.tty.is_none() && self.ttys[tty].session.is_none() {
            self.proc_set_tty(group, tty);
        }
    }

    /// TIOCSCTTY: EPERM unless the caller leads a session without a terminal and nobody has this
    /// one; root may steal it with argument 1.
    pub(super) fn tiocsctty(&mut self, call: &Call<'_>, tty: TtyId) -> Result<(), Errno> {
        let group = self.tasks[call.task].group;
        let g = &self.groups[group];
        let leads = g.session == g.tgid;
        let owner = self.ttys[tty].session;
        if leads && owner == Some(g.session) {
            return Ok(());
        }
        if !leads || g.tty.is_some() {
            return Err(Errno::EPERM);
        }
        if let Some(session) = owner {
            if call.arg(2) != 1 || !self.tasks[call.task].cred.capable(Cap::SysAdmin) {
                return Err(Errno::EPERM);
            }
            self.session_clear_tty(session);
        }
        self.proc_set_tty(group, tty);
        Ok(())
    }

    fn session_clear_tty(&mut self, session: crate::task::Pid) {
        for (_, group) in self.groups.iter_mut().filter(|(_, g)| g.session == session) {
            group.tty = None;
        }
    }

    /// TIOCNOTTY: gives up the controlling terminal. ENOTTY if it is another.
    pub(super) fn no_tty(&mut self, task: TaskId, tty: TtyId) -> Result<(), Errno> {
        if self.current_tty(task) != Some(tty) {
            return Err(Errno::ENOTTY);
        }
        self.disassociate_ctty(task, false);
        let group = self.tasks[task].group;
        self.groups[group].tty = None;
        Ok(())
    }

    /// disassociate_ctty(): a session's leader gives up its terminal, at its exit or by TIOCNOTTY:
    /// the foreground group gets SIGHUP, and SIGCONT too if it is not the exit. The terminal itself
    /// stays usable (rule X-29). A leader whose terminal hung up before wakes the group that was in
    /// the foreground then.
    pub(crate) fn disassociate_ctty(&mut self, task: TaskId, on_exit: bool) {
        let group = self.tasks[task].group;
        let g = &mut self.groups[group];
        if g.session != g.tgid {
            return;
        }
        let (session, old_pgrp) = (g.session, g.tty_old_pgrp.take());
        let (foreground, signals): (_, &[Signal]) = match g.tty {
            Some(tty) if on_exit => (self.ttys[tty].pgrp, &[Signal::SIGHUP]),
            Some(tty) => (self.ttys[tty].pgrp, &[Signal::SIGHUP, Signal::SIGCONT]),
            None => (old_pgrp.filter(|_| on_exit), &[Signal::SIGHUP, Signal::SIGCONT]),
        };
        // The console's terminal is lent by whoever runs the command, and stays theirs.
        let lent = g.tty.is_some() && g.tty == self.console.tty;
        if let Some(pgrp) = foreground.filter(|_| !lent) {
            for signal in signals {
                self.kill_pgrp(pgrp, *signal);
            }
        }
        if let Some(tty) = self.groups[group].tty {
            let tty = &mut self.ttys[tty];
            (tty.session, tty.pgrp) = (None, None);
        }
        self.session_clear_tty(session);
    }

    /// tty_signal_session_leader(): the terminal hung up. Its session has none any more, the leader
    /// gets SIGHUP and SIGCONT and remembers the foreground group for its own exit (rule X-30).
    pub(super) fn tty_signal_session_leader(&mut self, tty: TtyId) {
        let (session, pgrp) = (self.ttys[tty].session, self.ttys[tty].pgrp);
        let members: Vec<GroupId> = self
            .groups
            .iter()
            .filter(|(_, g)| Some(g.session) == session)
            .map(|(id, _)| id)
            .collect();
        for member in members {
            let g = &mut self.groups[member];
            if g.tty == Some(tty) {
                g.tty = None;
            }
            if g.session != g.tgid {
                continue;
            }
            g.tty_old_pgrp = pgrp;
            let leader = g.leader;
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                let to = Target::Process(leader);
                // Without a record to lose there is no limit to meet.
                let _ = self.send_signal(SigInfo::kernel(signal), to);
            }
        }
        let tty = &mut self.ttys[tty];
        (tty.session, tty.pgrp) = (None, None);
    }
}
