//! Which collector there is, out of what was configured.

use std::time::Duration;

use anyhow::Context;
use gateway::Connector;
use gateway::env::Env;
use gateway::plan::Protocol;
use http::{HeaderName, HeaderValue};
use plimsoll_policy::Dice;

use crate::config::{Endpoint, OtlpConfig, secrets};

/// Where traces and metrics go, and in whose name.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    /// A name or an IP address; IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// `None` is cleartext.
    pub(crate) tls: Option<Connector>,
    /// What comes before `/v1/traces` and `/v1/metrics`, without a slash at the end; usually empty.
    pub(crate) path: String,
    /// Sent along, for collectors that ask who we are. Never shown.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// The longest that a span waits for others to go with, and how often metrics are sent.
    pub(crate) send_every: Duration,
    /// Whether metrics are sent, too.
    pub(crate) metrics: bool,
    /// Resource attributes: `service.name` and such.
    pub(crate) resource: Vec<(String, String)>,
}

impl Collector {
    /// The collector that the configuration names, with the headers that the environment keeps for it.
    ///
    /// # Errors
    /// The headers are missing or wrong, or a file of its TLS cannot be used.
    pub(crate) fn configured(otlp: &OtlpConfig, env: &Env) -> anyhow::Result<Self> {
        let headers = match &otlp.headers_env {
            None => Vec::new(),
            Some(name) => otlp_headers(&secrets::variable(name)?)
                .with_context(|| format!("reading OTLP headers from the environment variable {name}"))?,
        };
        let Endpoint::Host { tls: _, host, port } = &otlp.endpoint else {
            anyhow::bail!("telemetry.otlp.endpoint must be an `http` or `https` address");
        };
        let tls = otlp
            .tls
            .as_ref()
            .map(|plan| Connector::build(plan, Protocol::Http1));
        let tls = tls.transpose().context("preparing TLS to the collector")?;
        // Another one for each start, or the counts of two instances would be taken for one that goes back and forth.
        let instance = random_uuid(&mut env.dice());
        let resource = [
            ("service.name", "plimsoll"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", &instance),
        ];
        Ok(Self {
            host: host.clone(),
            port: *port,
            tls,
            path: String::new(),
            headers,
            send_every: otlp.send_every,
            metrics: otlp.metrics,
            resource: resource
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
        })
    }
}

/// A random UUID (RFC 9562, version 4).
fn random_uuid(dice: &mut impl Dice) -> String {
    let bits = u128::from(dice.roll()) << 64 | u128::from(dice.roll());
    let bits = bits & !(0xf << 76 | 0x3 << 62) | (4 << 76 | 2 << 62);
    let hex = format!("{bits:032x}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

/// Headers as OpenTelemetry's environment variables have them: `name=value,name=value`.
fn otlp_headers(text: &str) -> anyhow::Result<Vec<(HeaderName, HeaderValue)>> {
    let header = |pair: &str| {
        let (name, value) = pair.split_once('=').context("a header is not `name=value`")?;
        let name = name.trim().parse().context("a header name is not a token")?;
        let mut value: HeaderValue = value
            .trim()
            .parse()
            .context("a header value holds control characters")?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    text.split(',')
        .filter(|pair| !pair.trim().is_empty())
        .map(header)
        .collect()
}

#[cfg(test)]
mod tests {
    use plimsoll_policy::SeededDice;

    use super::*;

    #[test]
    fn instances_have_ids_of_their_own() {
        let mut dice = SeededDice::new(1);
        let (one, two) = (random_uuid(&mut dice), random_uuid(&mut dice));
        assert_ne!(one, two);
        for id in [one, two] {
            let lengths: Vec<_> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(
                id.as_bytes()[14] == b'4' && b"89ab".contains(&id.as_bytes()[19]),
                "{id}"
            );
        }
    }

    #[test]
    fn headers_are_pairs() {
        let headers = otlp_headers(" x-key = secret value ,, api=1").unwrap();
        let headers: Vec<_> = headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.to_str().unwrap()))
            .collect();
        assert_eq!(headers, [("x-key", "secret value"), ("api", "1")]);
        for wrong in ["x-key", "x key=1", "x=a\nb"] {
            assert!(otlp_headers(wrong).is_err(), "{wrong}");
        }
    }
}
