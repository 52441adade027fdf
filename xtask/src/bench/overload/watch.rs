//! What the operators' port of ours says meanwhile, looked at four times a second.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::bench::process::now;

const EVERY: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(2);

/// What was seen at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Glance {
    /// Since the watch began.
    pub(crate) at: Duration,
    /// What may be at work in the service at once; `None` while no limit is in the way.
    pub(crate) limit: Option<f64>,
    /// Whether it says that the service is asked for more than it can do; `None` if it does not say.
    pub(crate) overloaded: Option<bool>,
    /// What it says an operator should look at.
    pub(crate) attention: Vec<String>,
}

/// A thread that looks until it is ended.
#[derive(Debug)]
pub(crate) struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Glance>>,
}

impl Watch {
    /// # Errors
    /// If its thread cannot be started.
    pub(crate) fn start(admin: u16) -> anyhow::Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let look = move || {
            let (began, mut glances) = (now(), Vec::new());
            while !told.load(Ordering::SeqCst) {
                // A look that fails is one glance less; the report says how many there were.
                if let Ok(status) = ask(admin) {
                    glances.push(Glance {
                        at: began.elapsed(),
                        ..seen(&status)
                    });
                }
                thread::park_timeout(EVERY);
            }
            glances
        };
        let thread = thread::Builder::new()
            .name("watch".to_owned())
            .spawn(look)
            .context("starting the watch")?;
        Ok(Self { ended, thread })
    }

    pub(crate) fn end(self) -> Vec<Glance> {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.thread().unpark();
        self.thread.join().unwrap_or_default()
    }
}

fn ask(port: u16) -> anyhow::Result<Value> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).context("opening a connection")?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .context("setting a timeout")?;
    stream
        .write_all(b"GET /status HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\nconnection: close\r\n\r\n")
        .context("asking for the status")?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("reading the status")?;
    let (_, body) = text
        .split_once("\r\n\r\n")
        .context("finding the status in the answer")?;
    serde_json::from_str(body).context("reading the status")
}

fn seen(status: &Value) -> Glance {
    let service = status["upstreams"]
        .as_array()
        .and_then(|upstreams| upstreams.iter().find(|upstream| upstream["name"] == "service"));
    let attention = status["attention"].as_array().into_iter().flatten();
    Glance {
        at: Duration::ZERO,
        limit: service.and_then(|upstream| upstream["limit"].as_f64()),
        overloaded: service
            .and_then(|upstream| upstream["pressure"].as_str())
            .and_then(|pressure| match pressure {
                "bound" => Some(true),
                "free" => Some(false),
                _ => None,
            }),
        attention: attention
            .filter_map(|said| said.as_str().map(str::to_owned))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glance_is_of_the_service_and_of_what_needs_attention() {
        let status = serde_json::json!({
            "attention": ["It is draining."],
            "upstreams": [{ "name": "dependency", "limit": 5 }, { "name": "service", "limit": 20, "pressure": "bound" }],
        });
        let glance = seen(&status);
        assert_eq!((glance.limit, glance.overloaded), (Some(20.0), Some(true)));
        assert_eq!(glance.attention, ["It is draining."]);
        assert_eq!(seen(&serde_json::json!({})), Glance::default());
    }
}
