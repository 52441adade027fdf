//! `cargo xtask sim`: seeds through the whole gateway, at release speed.
//!
//! The simulator is a crate of its own, for it needs the gateway and all that it needs; this only builds and runs it.
//! Everything after the verb is the simulator's: `--seeds N --from S`, or `--seed X --trace` to repeat one.

use std::process::{Command, ExitCode};

use anyhow::Context as _;

pub(crate) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    let status = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--release", "--package", "sim", "--"])
        .args(words)
        .current_dir(crate::root())
        .status()
        .context("starting cargo")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
