//! Builds what is measured, in the profile that is shipped.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use serde_json::Value;

/// Builds the binary of a package with `--profile dist`, and says where it lies.
///
/// # Errors
/// If it does not build.
pub(crate) fn binary(package: &str) -> anyhow::Result<PathBuf> {
    eprintln!("building {package} in the profile `dist`: a few minutes if it is not there yet");
    binary_in(package, "dist")
}

/// The same with another profile.
///
/// # Errors
/// If it does not build.
pub(crate) fn binary_in(package: &str, profile: &str) -> anyhow::Result<PathBuf> {
    let words = [
        "build",
        "--locked",
        "--profile",
        profile,
        "--message-format",
        "json-render-diagnostics",
        "--package",
        package,
    ];
    let output = Command::new("cargo")
        .args(words)
        .current_dir(crate::root())
        .stderr(Stdio::inherit())
        .output()
        .context("starting cargo")?;
    anyhow::ensure!(
        output.status.success(),
        "building {package} ended with {}",
        output.status
    );
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| executable(line, package))
        .next_back()
        .with_context(|| format!("finding the binary of {package} in what cargo says"))
}

fn executable(line: &str, package: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_it = message["reason"] == "compiler-artifact" && message["target"]["name"] == package;
    is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_in_what_cargo_says() {
        let line = r#"{"reason":"compiler-artifact","target":{"name":"a"},"executable":"/t/a"}"#;
        assert_eq!(executable(line, "a"), Some(PathBuf::from("/t/a")));
        assert_eq!(executable(line, "b"), None);
        let library = r#"{"reason":"compiler-artifact","target":{"name":"a"},"executable":null}"#;
        assert_eq!(executable(library, "a"), None);
    }
}
