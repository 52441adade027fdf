//! A process that runs a version: as a child of this process, or found, since whoever started it is gone.
//!
//! What runs is what the kernel says. Each carries a mark in its environment, by which the next Plimsoll finds it after
//! an upgrade or a kill -9; no file says what ran once.

use std::fmt::Write as _;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child as Own, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::Version;
use crate::config::ProcessConfig;
use crate::config::secrets::variable;

/// In whose value a version is named, after the name of a configuration.
const MARK: &str = "PLIMSOLL_CHILD";
/// What every program may need of the environment.
const PASSED: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];
/// Between the parts of a mark: none of them can have it.
const APART: char = '\n';

/// See the module's header. It leads a process group of its own.
#[derive(Debug)]
pub(super) struct Child {
    id: Pid,
    /// When it began, by the kernel's count: ids are used again.
    began: u64,
    /// `None` if it was found: nobody can wait for another's child.
    own: Option<Own>,
}

impl Child {
    /// Starts a version. `place` is the configuration that has it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(super) fn start(config: &ProcessConfig, version: &Version, place: &str) -> io::Result<Self> {
        let words = version.fill_all(&config.command);
        let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let mut command = Command::new(program);
        command.args(args).env_clear().process_group(0);
        let passed = PASSED
            .into_iter()
            .chain(config.pass.iter().map(String::as_str))
            .filter_map(|name| Some((name, variable(name).ok()?)));
        command.envs(passed);
        let set = config.environment.iter();
        command.envs(set.map(|variable| (&variable.name, version.fill(&variable.value))));
        let filling = version.filling();
        command
            .env("PORT", filling.port)
            .env("PLIMSOLL_UPSTREAM", filling.upstream)
            .env("PLIMSOLL_VERSION", filling.version)
            .env("PLIMSOLL_ENDPOINT", filling.endpoint)
            .env(MARK, mark(place, version));
        if let Some(directory) = &config.directory {
            command.current_dir(version.fill(directory));
        }
        // Its lines are not ours, and a pipe to us would break when we are gone.
        let out = io::stderr().as_fd().try_clone_to_owned()?;
        command.stdin(Stdio::null()).stdout(out);
        let own = command.spawn()?;
        let id = Pid::from_child(&own);
        Ok(Self {
            id,
            began: stat(id).map_or(0, |stat| stat.began),
            own: Some(own),
        })
    }

    /// The versions of this configuration that run already, whoever has started them.
    pub(super) fn find(place: &str) -> Vec<(Version, Self)> {
        let Ok(all) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        let ids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        ids.filter_map(|id| {
            let environment = std::fs::read(format!("/proc/{id}/environ")).ok()?;
            let marked = environment
                .split(|byte| *byte == 0)
                .find_map(|variable| variable.strip_prefix(MARK.as_bytes())?.strip_prefix(b"="))?;
            let version = version_of(place, std::str::from_utf8(marked).ok()?)?;
            let id = Pid::from_raw(id)?;
            // What it has started itself inherits the mark, but leads no group.
            let stat = stat(id).filter(|stat| stat.leads && !stat.ended)?;
            let child = Self {
                id,
                began: stat.began,
                own: None,
            };
            Some((version, child))
        })
        .collect()
    }

    pub(super) fn id(&self) -> u32 {
        self.id.as_raw_nonzero().get().cast_unsigned()
    }

    /// How it ended, if it has.
    pub(super) fn ended(&mut self) -> Option<String> {
        match &mut self.own {
            Some(own) => match own.try_wait() {
                Ok(ended) => ended.map(words),
                Err(error) => Some(error.to_string()),
            },
            None => (!self.is_there()).then(|| "nobody knows how, since another had started it".to_owned()),
        }
    }

    fn is_there(&self) -> bool {
        stat(self.id).is_some_and(|stat| stat.began == self.began && !stat.ended)
    }

    /// Asks it and what it has started to end, or ends them.
    pub(super) fn signal(&self, signal: Signal) {
        // An id that is ours is not given to another before it was waited for; one that was found may be.
        if self.own.is_some() || self.is_there() {
            // Who is gone is gone.
            _ = kill_process_group(self.id, signal);
        }
    }
}

fn mark(place: &str, version: &Version) -> String {
    let Version {
        upstream,
        version,
        endpoint,
    } = version;
    let mut mark = String::new();
    for part in [place, upstream, version, endpoint] {
        _ = write!(mark, "{}{APART}", part.replace(APART, " "));
    }
    mark
}

fn version_of(place: &str, mark: &str) -> Option<Version> {
    let mut parts = mark.split(APART).map(str::to_owned);
    (parts.next()? == place.replace(APART, " ")).then_some(())?;
    Some(Version {
        upstream: parts.next()?,
        version: parts.next()?,
        endpoint: parts.next()?,
    })
}

/// What the kernel says of a process.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    ended: bool,
    leads: bool,
    began: u64,
}

fn stat(id: Pid) -> Option<Stat> {
    parse(&std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero())).ok()?)
}

/// `proc_pid_stat(5)`: the name in the second field may have spaces and brackets in it.
fn parse(line: &str) -> Option<Stat> {
    let id = line.split_once(' ')?.0;
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        ended: matches!(*fields.first()?, "Z" | "X"),
        leads: *fields.get(2)? == id,
        began: fields.get(19)?.parse().ok()?,
    })
}

fn words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read_whatever_it_is_called() {
        let line = "417 (a) b (c)) S 1 417 417 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 8123 1 1";
        let stat = Stat {
            ended: false,
            leads: true,
            began: 8_123,
        };
        assert_eq!(parse(line), Some(stat));
        assert!(parse(&line.replace("S 1 417", "Z 1 417")).unwrap().ended);
        assert!(!parse(&line.replace("S 1 417", "S 1 400")).unwrap().leads);
        assert_eq!(parse("417 (cut"), None);
    }

    #[test]
    fn a_mark_is_of_one_configuration() {
        let version = Version {
            upstream: "orders".to_owned(),
            version: "v2".to_owned(),
            endpoint: "http://127.0.0.1:3002".to_owned(),
        };
        let mark = mark("host:/etc/plimsoll.yaml", &version);
        assert_eq!(version_of("host:/etc/plimsoll.yaml", &mark), Some(version));
        assert_eq!(version_of("host:/etc/other.yaml", &mark), None);
    }
}
