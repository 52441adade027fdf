//! Where a database is.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::{ANSWER_MAX, said};

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Where a database is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    pub(super) config: Config,
}

/// Its password is shown nowhere.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.config.get_hosts().first();
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let name = self.config.get_dbname().or(self.config.get_user());
        match host {
            Some(Host::Tcp(host)) => write!(f, "postgres://{host}:{port}")?,
            Some(Host::Unix(path)) => write!(f, "postgres://{}", path.display())?,
            None => f.write_str("postgres://")?,
        }
        write!(f, "/{}", name.unwrap_or_default())
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Database {
    /// Reads an address, such as `postgres://user@host:5432/name?sslmode=require`, or the form with `host=…`. What leaves
    /// this machine is spoken by TLS, unless the address says `sslmode=disable`.
    ///
    /// # Errors
    /// What is wrong with the address; its password is not part of that.
    pub fn parse(address: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let mut config: Config = address.parse().map_err(|error| said(&error))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err("it names no host".into());
        }
        match (address.contains("sslmode"), config.get_ssl_mode()) {
            (true, SslMode::Disable | SslMode::Require) => {}
            (true, _) => return Err("sslmode protects as `require`, or is `disable`".into()),
            (false, _) => {
                let is_here = stays_here(&config);
                config.ssl_mode(if is_here {
                    SslMode::Disable
                } else {
                    SslMode::Require
                });
            }
        }
        config
            .application_name("plimsoll")
            .connect_timeout(CONNECT_MAX)
            .tcp_user_timeout(ANSWER_MAX)
            .keepalives_idle(Duration::from_secs(30));
        Ok(Self { config })
    }

    /// Whether its address has a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }
}

/// Whether nothing leaves this machine.
fn stays_here(config: &Config) -> bool {
    let is_here = |host: &Host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) if name == "localhost" => true,
        Host::Tcp(name) => name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
    };
    config.get_hosts().iter().all(is_here) && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}
