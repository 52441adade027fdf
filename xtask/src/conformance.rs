//! `cargo xtask conformance`: the gateway beside programs that we did not write and that know the rules.
//!
//! A suite is one file under `conformance/` with a `run`, and one line in [`SUITES`]. What a suite needs is installed
//! below `target/conformance` by the ordinary clients of the registries; a suite whose tools are not there and cannot be
//! had is skipped, and says so.

#![allow(
    clippy::disallowed_methods,
    reason = "it starts real programs, waits for them and talks to them; nothing here is ever simulated"
)]

mod flags;
mod framing;
mod grpc;
mod h2spec;
mod origin;
mod plimsoll;
mod websocket;

use std::cell::OnceCell;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// What a suite came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All cases passed; how many, in words.
    Passed(String),
    /// What did not.
    Failed(String),
    Skipped(String),
}

/// A suite.
struct Suite {
    name: &'static str,
    about: &'static str,
    /// Gets the words behind its name.
    run: fn(&Bench, &[String]) -> anyhow::Result<Verdict>,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "h2spec",
        about: "every case of h2spec, in cleartext and over TLS (needs Go)",
        run: h2spec::run,
    },
    Suite {
        name: "flags",
        about: "flags evaluated by flagd's own evaluators too; `--pairs=N` of them (needs npm, Python or Go)",
        run: flags::run,
    },
    Suite {
        name: "framing",
        about: "malformed requests, through the gateway to servers that read them in their own ways; with `--all`, to every server that is known",
        run: framing::run,
    },
    Suite {
        name: "grpc",
        about: "gRPC's interoperability tests, by three stacks (needs Go; Python and npm if there)",
        run: grpc::run,
    },
    Suite {
        name: "websocket",
        about: "two stacks, each as a server to both (needs npm and Python)",
        run: websocket::run,
    },
];

/// What every suite needs.
pub(crate) struct Bench {
    /// The binary, once somebody has asked for it.
    plimsoll: OnceCell<PathBuf>,
    /// A place for what is installed, made and logged.
    pub(crate) place: PathBuf,
}

pub(crate) fn run(words: &[String]) -> anyhow::Result<ExitCode> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{}", usage());
        return Ok(ExitCode::SUCCESS);
    }
    let (names, options): (Vec<_>, Vec<_>) = words.iter().cloned().partition(|word| !word.starts_with("--"));
    let (_, failed) = run_suites(&names, &options)?;
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the suites of these names, or all of them; how many passed and failed.
///
/// # Errors
/// A name is not known, or there is no place for what suites need.
pub(crate) fn run_suites(names: &[String], options: &[String]) -> anyhow::Result<(u64, u64)> {
    for name in names {
        let known = SUITES.iter().any(|suite| suite.name == name);
        anyhow::ensure!(known, "there is no suite `{name}`\n\n{}", usage());
    }
    let bench = Bench::prepare()?;
    let (mut passed, mut failed) = (0, 0);
    for suite in SUITES
        .iter()
        .filter(|suite| names.is_empty() || names.iter().any(|name| name == suite.name))
    {
        let verdict = (suite.run)(&bench, options)
            .unwrap_or_else(|error| Verdict::Failed(format!("it could not be run: {error:#}")));
        match verdict {
            Verdict::Passed(what) => {
                passed += 1;
                println!("{}: {what}", suite.name);
            }
            Verdict::Skipped(why) => println!("{}: skipped: {why}", suite.name),
            Verdict::Failed(what) => {
                failed += 1;
                println!("{}: FAILED\n{what}", suite.name);
            }
        }
    }
    Ok((passed, failed))
}

impl Bench {
    fn prepare() -> anyhow::Result<Self> {
        let place = crate::root().join("target/conformance");
        std::fs::create_dir_all(&place).with_context(|| format!("creating {}", place.display()))?;
        Ok(Self {
            plimsoll: OnceCell::new(),
            place,
        })
    }

    /// The gateway, which is built when the first suite wants it: some want only a library.
    ///
    /// # Errors
    /// It does not build.
    pub(crate) fn plimsoll(&self) -> anyhow::Result<&Path> {
        if let Some(built) = self.plimsoll.get() {
            return Ok(built);
        }
        let built = crate::bench::build::binary_in("plimsoll", "dev")?;
        Ok(self.plimsoll.get_or_init(|| built))
    }

    /// A directory of that name, which is there then.
    pub(crate) fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let directory = self.place.join(name);
        std::fs::create_dir_all(&directory).with_context(|| format!("creating {}", directory.display()))?;
        Ok(directory)
    }
}

/// A port that nobody listens on. Somebody else could take it before it is used; then the program does not start.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr().context("looking for a free port")?.port())
}

/// Waits until a program listens.
///
/// # Errors
/// It ends, or does not listen within 20 seconds.
pub(crate) fn until_listening(program: &mut Child, port: u16) -> anyhow::Result<()> {
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        let ended = program.try_wait().context("asking whether it runs")?;
        anyhow::ensure!(
            ended.is_none() && Instant::now() < end,
            "it does not listen on port {port}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Whether a program is there.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new("sh")
        .args(["-c", "command -v \"$0\" >/dev/null", program])
        .status();
    found.is_ok_and(|status| status.success())
}

/// Runs a command to its end, without a word unless it fails.
///
/// # Errors
/// It fails; with what it said.
pub(crate) fn quietly(command: &mut Command, what: &str) -> anyhow::Result<()> {
    let output = command.output().with_context(|| what.to_owned())?;
    anyhow::ensure!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// A Python of its own in `place`, with a package; made once.
///
/// # Errors
/// There is no Python, or pip fails.
pub(crate) fn python(place: &Path, package: &str) -> anyhow::Result<PathBuf> {
    let home = place.join("python");
    if !home.join("bin/pip").exists() {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv"]).arg(&home);
        quietly(&mut venv, "making a Python")?;
    }
    // Once the package is there, pip says so without asking anybody.
    let mut pip = Command::new(home.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", package]);
    quietly(&mut pip, &format!("installing {package}"))?;
    Ok(home.join("bin/python"))
}

/// Has npm install a package in `place`, once; scripts that lie there find it.
///
/// # Errors
/// npm fails.
pub(crate) fn javascript(place: &Path, package: &str) -> anyhow::Result<()> {
    let name = package.rsplit_once('@').map_or(package, |(name, _)| name);
    if !place.join("node_modules").join(name).exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--prefix"])
            .arg(place)
            .arg(package);
        quietly(&mut npm, &format!("installing {package}"))?;
    }
    Ok(())
}

/// A command that is ended if it hangs.
pub(crate) fn limited(program: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.arg("60").arg(program);
    command
}

/// Writes a file to `place`; where it is.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(place: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = place.join(name);
    std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

/// A certificate for `localhost` that signs itself, made once; with its key.
///
/// # Errors
/// openssl fails.
pub(crate) fn certificate(place: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (place.join("certificate.pem"), place.join("key.pem"));
    if !certificate.exists() {
        let words = [
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "3650",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ];
        let mut openssl = Command::new("openssl");
        openssl
            .args(words)
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        quietly(&mut openssl, "making a certificate")?;
    }
    Ok((certificate, key))
}

fn usage() -> String {
    let suites: Vec<String> = SUITES
        .iter()
        .map(|suite| format!("  {:<9}{}\n", suite.name, suite.about))
        .collect();
    format!(
        "usage: cargo xtask conformance [suite…] [--all]\n\nWithout a suite, all of them:\n\n{}",
        suites.concat()
    )
}
