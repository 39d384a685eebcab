//! The `afterlife` command: what is asked for (`args`), the run (`run`, `command`), and what is
//! shown of it (`render`); every way to die side by side (`deaths`). The guests that it carries are in `guests`. All work is done by the
//! crates below: `lab` steps worlds, `platform` runs the programs, `kernel` is their Linux.
#![forbid(unsafe_code)]

pub mod args;
pub mod command;
pub mod console;
pub mod deaths;
pub mod guests;
pub mod render;
pub mod run;
pub mod stop;
pub mod terminal;
