//! Where to listen, where to connect, and whom to trust.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::Scalar;
use super::word::Host;
use crate::config::shape::{Json, ScalarShape};

impl Scalar for SocketAddr {
    const SHAPE: ScalarShape = ScalarShape {
        what: "an IP address with a port",
        right: "`127.0.0.1:9900` or `[::1]:9900`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Scalar for Listen {
    const SHAPE: ScalarShape = ScalarShape {
        what: "an address to listen on",
        right: "`127.0.0.1:8080`, `[::]:8080` or `unix:/run/plimsoll.sock`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            Some(path) => path.starts_with('/').then(|| Self::Unix(path.into())),
            None => text.parse().ok().map(Self::Tcp),
        }
    }

    fn render(&self) -> String {
        match self {
            Self::Tcp(address) => address.to_string(),
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

impl Scalar for Cidr {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a range of addresses",
        right: "`10.0.0.0/8`, `192.0.2.7` or `fd00::/8`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => bits,
            Some(prefix) => u8::parse(prefix).filter(|prefix| *prefix <= bits)?,
        };
        Some(Self { address, prefix })
    }

    fn render(&self) -> String {
        format!("{}/{}", self.address, self.prefix)
    }
}

/// Where an upstream is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Host { tls: bool, host: String, port: u16 },
    Unix(PathBuf),
}

impl Scalar for Endpoint {
    const SHAPE: ScalarShape = ScalarShape {
        what: "an endpoint",
        right: "`http://127.0.0.1:3000`, `https://api.example.com` or `unix:/run/app.sock`",
        json: Json::Pattern("^(https?://[^/?#@]+/?|unix:/.+)$"),
    };

    fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        let (tls, authority) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let (host, port) = split_port(authority)?;
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        (port > 0).then_some(Self::Host { tls, host, port })
    }

    fn render(&self) -> String {
        match self {
            Self::Host { tls, host, port } => {
                let scheme = if *tls { "https" } else { "http" };
                if host.contains(':') {
                    format!("{scheme}://[{host}]:{port}")
                } else {
                    format!("{scheme}://{host}:{port}")
                }
            }
            Self::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; the host without its brackets.
fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        let port = if port.is_empty() {
            None
        } else {
            Some(port.strip_prefix(':')?)
        };
        (host.to_owned(), port)
    } else {
        let (host, port) = authority
            .split_once(':')
            .map_or((authority, None), |(h, p)| (h, Some(p)));
        (Host::parse(host).filter(|host| !host.0.starts_with('*'))?.0, port)
    };
    match port {
        None => Some((host, None)),
        Some(port) => Some((host, Some(u16::parse(port)?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_addresses_and_nothing_more() {
        for (text, rendered) in [
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("https://api.example.com/", "https://api.example.com:443"),
            ("http://[::1]:80", "http://[::1]:80"),
            ("https://[::1]", "https://[::1]:443"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            assert_eq!(
                Endpoint::parse(text).map(|e| Scalar::render(&e)).as_deref(),
                Some(rendered),
                "{text}"
            );
        }
        for text in [
            "127.0.0.1:3000",
            "http://",
            "http://a/b",
            "http://user@a",
            "http://a:0",
            "http://a:x",
            "http://[::1]80",
            "http://*.a",
            "unix:app.sock",
            "ftp://a",
        ] {
            assert_eq!(Endpoint::parse(text), None, "{text}");
        }
    }

    #[test]
    fn ranges_and_listening_addresses() {
        assert_eq!(
            Cidr::parse("10.0.0.0/8").map(|c| Scalar::render(&c)).as_deref(),
            Some("10.0.0.0/8")
        );
        assert_eq!(
            Cidr::parse("::1").map(|c| Scalar::render(&c)).as_deref(),
            Some("::1/128")
        );
        assert_eq!(Cidr::parse("10.0.0.0/33"), None);
        assert_eq!(Cidr::parse("10.0.0.0/+8"), None);
        assert_eq!(Listen::parse("unix:/a"), Some(Listen::Unix("/a".into())));
        assert_eq!(Listen::parse("8080"), None);
    }
}
