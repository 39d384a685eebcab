//! Builds the guest programs of `tests/guests/carried` with the compiler that builds this crate, so that the
//! command carries them: std only, statically linked where the machine's C library allows it, and
//! dynamically where it does not. `src/guests.rs` includes what comes out.

use std::path::Path;
use std::process::Command;

const GUESTS: [&str; 3] = ["server", "client", "kill"];

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let out = std::env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    let target = std::env::var("TARGET").expect("cargo sets TARGET");
    assert!(
        target.starts_with("x86_64-unknown-linux"),
        "afterlife runs x86-64 Linux programs on an x86-64 Linux machine; {target} is neither"
    );
    println!("cargo::rerun-if-changed=../../tests/guests/carried");
    for name in GUESTS {
        let source = format!("../../tests/guests/carried/{name}.rs");
        let to = Path::new(&out).join(name);
        let built = build(&rustc, &target, &source, &to, true)
            || build(&rustc, &target, &source, &to, false);
        assert!(built, "rustc could not build {source}; its messages are above");
    }
}

fn build(rustc: &str, target: &str, source: &str, to: &Path, fixed: bool) -> bool {
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-type", "bin", "--target", target]);
    for option in ["opt-level=s", "lto", "codegen-units=1", "panic=abort", "strip=symbols"] {
        command.args(["-C", option]);
    }
    command.args([
        "-C",
        if fixed { "target-feature=+crt-static" } else { "target-feature=-crt-static" },
    ]);
    if let Ok(linker) = std::env::var("RUSTC_LINKER") {
        command.arg("-C").arg(format!("linker={linker}"));
    }
    command.arg("-o").arg(to).arg(source);
    command.status().is_ok_and(|status| status.success())
}
