//! h2spec: the cases of RFC 9113's and RFC 7541's rules for a server, by a client that breaks each of them.
//!
//! It is a program in Go, and only Go's registry has it. Its dependencies are pinned to releases that the Go of a stable
//! Debian can build.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::plimsoll::Plimsoll;
use super::{Bench, Verdict, certificate, has, origin, quietly};

const MODULE: &str = "module conformance

go 1.17

require (
\tgithub.com/fatih/color v1.15.0
\tgithub.com/spf13/cobra v1.7.0
\tgithub.com/summerwind/h2spec v2.2.1+incompatible
\tgolang.org/x/net v0.17.0
)
";

/// A case that cannot pass, how it is run then, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "cleartext",
    "Sends invalid connection preface",
    "a listener that takes HTTP/1 as well reads it as a malformed HTTP/1 request, answers 400 and closes; over TLS, \
     where ALPN has chosen HTTP/2, it passes",
)];

pub(super) fn run(bench: &Bench, _: &[String]) -> anyhow::Result<Verdict> {
    if !has("go") {
        return Ok(Verdict::Skipped(
            "there is no Go to build h2spec with (Debian: golang-go)".to_owned(),
        ));
    }
    let place = bench.directory("h2spec")?;
    let h2spec = build(&place)?;
    let origin = origin::serve()?;
    let (certificate, key) = certificate(&place)?;
    let yaml = format!(
        "listeners:
  - {{ name: cleartext, listen: '127.0.0.1:0' }}
  - {{ name: tls, listen: '127.0.0.1:0', tls: {{ certificate: {}, key: {} }} }}
upstreams: [{{ name: origin, endpoints: ['http://{origin}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
",
        certificate.display(),
        key.display()
    );
    let mut plimsoll = Plimsoll::start(bench.plimsoll()?, &place, &yaml, 2)?;
    let mut said = Vec::new();
    let mut wrong = Vec::new();
    for (name, address, options) in [
        ("cleartext", plimsoll.listeners[0], &[][..]),
        ("tls", plimsoll.listeners[1], &["--tls", "--insecure"]),
    ] {
        let report = ask(&h2spec, address, options)?;
        let summary =
            summary(&report).with_context(|| format!("h2spec ended without a summary:\n{report}"))?;
        said.push(format!("{name} {summary}"));
        let failures = failures(&report);
        let excused = |case: &String| {
            EXCEPTIONS
                .iter()
                .any(|(how, title, _)| *how == name && case.contains(title))
        };
        wrong.extend(
            failures
                .iter()
                .filter(|case| !excused(case))
                .map(|case| format!("{name}: {case}")),
        );
        said.extend(
            EXCEPTIONS
                .iter()
                .filter(|(how, ..)| *how == name)
                .filter(|_| failures.iter().any(excused))
                .map(|(_, title, why)| format!("(`{title}`: {why})")),
        );
        if summary.skipped > 0 {
            wrong.push(format!("{name}: {} skipped", summary.skipped));
        }
    }
    if !plimsoll.is_alive() {
        wrong.push("the gateway has ended".to_owned());
    }
    Ok(if wrong.is_empty() {
        Verdict::Passed(said.join("; "))
    } else {
        Verdict::Failed(format!("{}\n{}", said.join("; "), wrong.join("\n")))
    })
}

/// Builds it once.
fn build(place: &Path) -> anyhow::Result<PathBuf> {
    let (binary, module) = (place.join("h2spec"), place.join("go.mod"));
    if binary.exists() && std::fs::read_to_string(&module).is_ok_and(|built| built == MODULE) {
        return Ok(binary);
    }
    eprintln!("building h2spec with Go, in {}", place.display());
    drop(std::fs::remove_file(place.join("go.sum")));
    std::fs::write(&module, MODULE).context("writing go.mod")?;
    let mut go = Command::new("go");
    go.args(["build", "-mod=mod", "-o"])
        .arg(&binary)
        .arg("github.com/summerwind/h2spec/cmd/h2spec")
        .current_dir(place);
    quietly(&mut go, "building h2spec")?;
    // Go may have added what it found out; ours is what is compared.
    std::fs::write(&module, MODULE).context("writing go.mod")?;
    Ok(binary)
}

/// What h2spec says. It ends with 1 when a case failed.
fn ask(h2spec: &Path, address: SocketAddr, options: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(h2spec)
        .args([
            "--host",
            "127.0.0.1",
            "--timeout",
            "5",
            "--port",
            &address.port().to_string(),
        ])
        .args(options)
        .output()
        .context("running h2spec")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// How many cases there were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Summary {
    cases: u32,
    passed: u32,
    skipped: u32,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} passed", self.passed, self.cases)
    }
}

/// `145 tests, 143 passed, 1 skipped, 1 failed`, which is the last line.
fn summary(report: &str) -> Option<Summary> {
    let line = report.lines().rev().find(|line| line.contains(" tests, "))?;
    let number = |word: &str| {
        line.split(", ")
            .find_map(|part| part.strip_suffix(word)?.trim().parse().ok())
    };
    Some(Summary {
        cases: number(" tests")?,
        passed: number(" passed")?,
        skipped: number(" skipped")?,
    })
}

/// The cases below `Failures:`, with what was expected.
fn failures(report: &str) -> Vec<String> {
    let Some((_, below)) = report.split_once("\nFailures:") else {
        return Vec::new();
    };
    let mut cases: Vec<String> = Vec::new();
    for line in below.lines().map(str::trim) {
        if line.starts_with('×') {
            cases.push(line.to_owned());
        } else if let Some(case) = cases.last_mut()
            && ["->", "Expected", "Actual"]
                .iter()
                .any(|word| line.starts_with(word))
        {
            case.push_str("\n    ");
            case.push_str(line);
        }
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "
  3. Starting HTTP/2
    3.5. HTTP/2 Connection Preface
      \u{2714} 1: Sends client connection preface
      \u{d7} 2: Sends invalid connection preface

Failures: 

Hypertext Transfer Protocol Version 2 (HTTP/2)
  3. Starting HTTP/2
    3.5. HTTP/2 Connection Preface
      \u{d7} 2: Sends invalid connection preface
        -> The endpoint MUST terminate the TCP connection.
           Expected: Connection closed
             Actual: Error: unexpected EOF

Finished in 0.4953 seconds
145 tests, 143 passed, 1 skipped, 1 failed
";

    #[test]
    fn a_report_is_read() {
        let expected = Summary {
            cases: 145,
            passed: 143,
            skipped: 1,
        };
        assert_eq!(summary(REPORT), Some(expected));
        let failures = failures(REPORT);
        assert_eq!(failures.len(), 1, "the one above is the same: {failures:?}");
        assert!(failures[0].starts_with("\u{d7} 2: Sends invalid connection preface\n    -> The endpoint"));
        assert_eq!(summary("h2spec: connection refused"), None);
    }
}
