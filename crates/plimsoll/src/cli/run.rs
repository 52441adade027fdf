//! `plimsoll run`.

use std::path::{Path, PathBuf};

use super::Exit;
use crate::config::{Config, ConfigError};
use crate::inheritance::Inheritance;
use crate::instance::{Beginning, Instance};
use crate::supervisor::{self, Supervisor};
use crate::upgrade::program::Program;

/// Carry traffic.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The configuration. Without it and without --upstream, `plimsoll.yaml`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["upstream", "listen", "admin"])]
    pub(crate) config: Option<PathBuf>,
    /// Without a file: the service to stand in front of, such as `http://127.0.0.1:3000`.
    #[arg(long, value_name = "URL")]
    pub(crate) upstream: Option<String>,
    /// With --upstream: where to listen. [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", requires = "upstream")]
    pub(crate) listen: Option<String>,
    /// With --upstream: where operators look. [default: 127.0.0.1:9900]
    #[arg(long, value_name = "ADDRESS", requires = "upstream")]
    pub(crate) admin: Option<String>,
    /// Threads that carry traffic, instead of the configuration's `cores`.
    #[arg(long, value_name = "COUNT")]
    pub(crate) cores: Option<usize>,
}

impl RunArgs {
    /// The file that a reload reads again; `None` when the flags say everything.
    pub(crate) fn file(&self) -> Option<&Path> {
        match (&self.config, &self.upstream) {
            (Some(path), _) => Some(path),
            (None, Some(_)) => None,
            (None, None) => Some(Path::new("plimsoll.yaml")),
        }
    }

    /// What to run. If it `replaces` a process that runs, everything has to be right, as for a reload.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, or with everything that is wrong.
    pub(crate) fn config(&self, replaces: bool) -> Result<Config, ConfigError> {
        let load = if replaces {
            Config::load
        } else {
            Config::load_to_start
        };
        let mut config = match (self.file(), &self.upstream) {
            (None, Some(upstream)) => {
                Config::in_front_of(upstream, self.listen.as_deref(), self.admin.as_deref())?
            }
            (file, _) => load(file.unwrap_or(Path::new("plimsoll.yaml")))?,
        };
        if let Some(cores) = self.cores {
            config.set_cores(cores);
        }
        Ok(config)
    }
}

/// Runs until a signal ends it.
///
/// # Errors
/// The configuration is wrong, or something that it names cannot be used.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<Exit> {
    let inheritance = Inheritance::receive()?;
    let config = args.config(inheritance.predecessor.is_some())?;
    let beginning = Beginning {
        inheritance,
        program: Program::current(),
        supervisor: Supervisor::of_environment(),
        state_directory: supervisor::state_directory(),
    };
    let file = args.file().map(Path::to_owned);
    let instance = Instance::start(config, file, std::io::stdout(), beginning)?;
    instance.wait()?;
    Ok(Exit::Good)
}
