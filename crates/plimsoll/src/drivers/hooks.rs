//! Versions that others run, and the programs that tell them to.
//!
//! A program is started and looked after from one round to the next, so that one that takes its time holds up nothing.

use std::io;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plimsoll_slo::Instant;

use super::Version;
use crate::config::HooksConfig;

/// How long it waits before what has failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// How a version stands, by its programs.
#[derive(Debug, Default)]
pub(super) enum Stage {
    /// Nothing is known.
    #[default]
    Unknown,
    /// A program is at work.
    Asked(Verb, Child, Instant),
    Started,
    Stopped,
    /// A program has failed, and is called again at this time.
    Failed(Instant),
}

/// What a program was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Check,
}

impl Verb {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Check => "running",
        }
    }
}

/// What is to be told of a round.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    Did(Verb),
    Failed(Verb, String),
}

impl Stage {
    /// One round, by whether the version is wanted.
    pub(super) fn turn(
        &mut self,
        version: &Version,
        config: &HooksConfig,
        is_wanted: bool,
        now: Instant,
    ) -> Option<News> {
        match self {
            Self::Asked(verb, child, since) => {
                let verb = *verb;
                let ended = child.try_wait();
                let late = now.since(*since) >= config.within;
                let done = match ended {
                    Ok(None) if !late => return None,
                    Ok(None) => {
                        // It may have ended in the meantime.
                        _ = child.kill();
                        _ = child.wait();
                        Err(format!("it was killed after {:?}", config.within))
                    }
                    Ok(Some(status)) if status.success() => Ok(()),
                    Ok(Some(status)) => Err(status.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                self.over(verb, done, version, config, is_wanted, now)
            }
            Self::Unknown => {
                // What does not run need not be stopped, and what runs not be started.
                let verb = match (&config.running, is_wanted) {
                    (Some(_), _) => Verb::Check,
                    (None, true) => Verb::Start,
                    (None, false) => Verb::Stop,
                };
                self.ask(verb, version, config, now)
            }
            Self::Started if !is_wanted => self.ask(Verb::Stop, version, config, now),
            Self::Stopped if is_wanted => self.ask(Verb::Start, version, config, now),
            Self::Failed(until) if now >= *until => {
                *self = Self::Unknown;
                None
            }
            Self::Started | Self::Stopped | Self::Failed(_) => None,
        }
    }

    fn over(
        &mut self,
        verb: Verb,
        done: Result<(), String>,
        version: &Version,
        config: &HooksConfig,
        is_wanted: bool,
        now: Instant,
    ) -> Option<News> {
        match (verb, done) {
            (Verb::Check, done) => {
                *self = if done.is_ok() {
                    Self::Started
                } else {
                    Self::Stopped
                };
                // What follows from it, in the same round.
                self.turn(version, config, is_wanted, now)
            }
            (Verb::Start, Ok(())) => {
                *self = Self::Started;
                Some(News::Did(verb))
            }
            (Verb::Stop, Ok(())) => {
                *self = Self::Stopped;
                Some(News::Did(verb))
            }
            (Verb::Start | Verb::Stop, Err(why)) => {
                *self = Self::Failed(now + AGAIN_AFTER);
                Some(News::Failed(verb, why))
            }
        }
    }

    fn ask(&mut self, verb: Verb, version: &Version, config: &HooksConfig, now: Instant) -> Option<News> {
        match spawn(verb, version, config) {
            Ok(child) => {
                *self = Self::Asked(verb, child, now);
                None
            }
            Err(error) => {
                *self = Self::Failed(now + AGAIN_AFTER);
                Some(News::Failed(verb, error.to_string()))
            }
        }
    }
}

fn spawn(verb: Verb, version: &Version, config: &HooksConfig) -> io::Result<Child> {
    let words = match verb {
        Verb::Start => &config.start,
        Verb::Stop => &config.stop,
        Verb::Check => config.running.as_ref().ok_or(io::ErrorKind::InvalidInput)?,
    };
    let words = version.fill_all(words);
    let (program, args) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let filling = version.filling();
    let out = io::stderr().as_fd().try_clone_to_owned()?;
    Command::new(program)
        .args(args)
        .env("PORT", filling.port)
        .env("PLIMSOLL_UPSTREAM", filling.upstream)
        .env("PLIMSOLL_VERSION", filling.version)
        .env("PLIMSOLL_ENDPOINT", filling.endpoint)
        .stdin(Stdio::null())
        .stdout(out)
        .spawn()
}
