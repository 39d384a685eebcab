//! The guest programs that the command carries (`tests/guests/carried`, built by `build.rs`) and puts
//! into every world under [`DIRECTORY`]: real ELF files, nothing special about them.

use kernel::platform::Platform;
use lab::World;

/// Where they are in a world; first in the PATH of scenarios.
pub const DIRECTORY: &str = "/opt/afterlife/bin";

/// Their names and bytes.
pub const GUESTS: [(&str, &[u8]); 3] = [
    ("server", include_bytes!(concat!(env!("OUT_DIR"), "/server"))),
    ("client", include_bytes!(concat!(env!("OUT_DIR"), "/client"))),
    ("kill", include_bytes!(concat!(env!("OUT_DIR"), "/kill"))),
];

/// Installs them on every host.
pub fn install<P: Platform>(world: &mut World<P>) {
    for (name, bytes) in GUESTS {
        world.carry(format!("{DIRECTORY}/{name}").as_bytes(), bytes.into(), 0o755);
    }
}
