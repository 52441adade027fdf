//! The binary, as its users run it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should panic")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test stands outside the binary: it is the world"
)]

mod alerts;
mod attacks;
mod blind_spots;
mod book;
mod browser;
mod check;
mod cli;
mod demo;
mod doubts;
mod flags;
mod journeys;
mod memory;
mod operators;
mod processes;
mod reported;
mod rollouts;
mod rules;
mod shared;
mod supervised;
mod upgrade;
mod world;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What one run of the binary left behind.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the binary in `testdata`, with `input` on its standard input.
fn plimsoll(args: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(args)
        .current_dir(testdata(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A verb that reads no input may be gone before all of it is written.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it/testdata")
        .join(name)
}

/// Whether expected output is to be written down instead of compared: `PLIMSOLL_BLESS=1 cargo test`, then read the
/// difference.
fn blessing() -> bool {
    std::env::var_os("PLIMSOLL_BLESS").is_some()
}

/// Compares with the content of a file.
#[track_caller]
fn expect(path: &Path, actual: &str) {
    if blessing() {
        std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is not what came out; PLIMSOLL_BLESS=1 writes it down:\n{actual}",
        path.display()
    );
}
