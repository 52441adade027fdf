//! Names, and words that HTTP gives a meaning to.

use std::ops::{Deref, RangeInclusive};
use std::path::PathBuf;

use gateway::plan::WalkKey;
use http::{HeaderName, Method};

use super::Scalar;
use crate::access::Digest;
use crate::config::shape::{Json, ScalarShape};

/// A name that becomes a label in metrics, logs and paths of problems.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name(pub(crate) String);

impl Deref for Name {
    type Target = String;

    fn deref(&self) -> &String {
        &self.0
    }
}

impl Scalar for Name {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a name",
        right: "`orders`: up to 63 letters, digits, `-`, `_` and `.`",
        json: Json::Bare("^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let plain = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        (begins && plain && text.len() <= 63).then(|| Self(text.to_owned()))
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}

impl Scalar for String {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a text",
        right: "`text`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn render(&self) -> String {
        self.clone()
    }
}

impl Scalar for PathBuf {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a path of a file",
        right: "`/etc/plimsoll/server.pem`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.contains('\0')).then(|| text.into())
    }

    fn render(&self) -> String {
        self.display().to_string()
    }
}

/// Where what outlives a restart is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StateFile {
    /// Beside the configuration, and called like it.
    Auto,
    Off,
    At(PathBuf),
}

impl Scalar for StateFile {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a path of a file",
        right: "`auto`, `off` or `/var/lib/plimsoll/orders.state`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "off" => Some(Self::Off),
            path => PathBuf::parse(path).map(Self::At),
        }
    }

    fn render(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Off => "off".to_owned(),
            Self::At(path) => Scalar::render(path),
        }
    }
}

/// The address of a Postgres database. It is read where no message repeats it: somebody may have put a password there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseAddress(pub(crate) String);

impl Scalar for DatabaseAddress {
    const SHAPE: ScalarShape = ScalarShape {
        what: "the address of a Postgres database",
        right: "`postgres://plimsoll@db.example:5432/plimsoll`",
        json: Json::Text,
    };

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}

impl Scalar for HeaderName {
    const SHAPE: ScalarShape = ScalarShape {
        what: "the name of a header",
        right: "`x-tenant`",
        json: Json::Pattern("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"),
    };

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn render(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Scalar for Method {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a method, which has capital letters",
        right: "`GET`, `POST` or `DELETE`",
        json: Json::Pattern("^[A-Z][A-Z-]{0,19}$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let capital = text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
        let fits = !text.starts_with('-') && text.len() <= 20;
        Self::from_bytes(text.as_bytes()).ok().filter(|_| capital && fits)
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

/// A host as it stands in the `Host` header, without a port; in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host(pub(crate) String);

impl Scalar for Host {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a host",
        right: "`api.example.com` or `*.example.com`",
        json: Json::Pattern("^(\\*\\.)?[A-Za-z0-9_-]+(\\.[A-Za-z0-9_-]+)*$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let labels = text.strip_prefix("*.").unwrap_or(text);
        let label = |l: &str| {
            (1..=63).contains(&l.len())
                && l.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        (labels.split('.').all(label) && text.len() <= 253).then(|| Self(text.to_ascii_lowercase()))
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}

/// A path in which whole segments may be parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathTemplate(pub(crate) String);

impl PathTemplate {
    /// The template with the names of its parameters left out: two that are then the same match the same paths.
    pub(crate) fn skeleton(&self) -> String {
        let plain = |segment: &str| match segment.strip_prefix('{') {
            Some(name) if name.starts_with('*') => "{*}".to_owned(),
            Some(_) => "{}".to_owned(),
            None => segment.to_owned(),
        };
        self.0.split('/').map(plain).collect::<Vec<_>>().join("/")
    }
}

impl Scalar for PathTemplate {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a path template",
        right: "`/orders/{id}` or `/static/{*rest}`",
        json: Json::Pattern("^/[^?#\\s]*$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let mut segments = text.strip_prefix('/')?.split('/').peekable();
        let mut names = Vec::new();
        while let Some(segment) = segments.next() {
            let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
                let wrong = |c: char| c.is_ascii_control() || matches!(c, ' ' | '?' | '#' | '{' | '}' | '*');
                if segment.contains(wrong) {
                    return None;
                }
                continue;
            };
            let (name, rest) = name.strip_prefix('*').map_or((name, false), |name| (name, true));
            let plain = name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
            if name.is_empty() || !plain || names.contains(&name) || (rest && segments.peek().is_some()) {
                return None;
            }
            names.push(name);
        }
        Some(Self(text.to_owned()))
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}

/// The name of an environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvName(pub(crate) String);

impl Scalar for EnvName {
    const SHAPE: ScalarShape = ScalarShape {
        what: "the name of an environment variable",
        right: "`PLIMSOLL_ADMIN_TOKEN`",
        json: Json::Pattern("^[A-Za-z_][A-Za-z0-9_]*$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (plain && !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()))
            .then(|| Self(text.to_owned()))
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}

impl Scalar for Digest {
    const SHAPE: ScalarShape = ScalarShape {
        what: "the SHA-256 of a token",
        right: "`sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad`, as `plimsoll token` writes it",
        json: Json::Pattern("^sha256:[0-9A-Fa-f]{64}$"),
    };

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text)
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

/// The path, and query if any, of a request that we make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlPath(pub(crate) String);

impl Scalar for UrlPath {
    const SHAPE: ScalarShape = ScalarShape {
        what: "the path of a URL",
        right: "`/healthz`",
        json: Json::Pattern("^/[^#\\s]*$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let uri = text.starts_with('/') && !text.contains('#') && text.parse::<http::Uri>().is_ok();
        uri.then(|| Self(text.to_owned()))
    }

    fn render(&self) -> String {
        self.0.clone()
    }
}

/// A range of final statuses, both ends included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatusRange(pub(crate) RangeInclusive<u16>);

impl Scalar for StatusRange {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a status, or a range of them, from 200 to 599",
        right: "`200` or `200-399`",
        json: Json::Bare("^[2-5][0-9]{2}(-[2-5][0-9]{2})?$"),
    };

    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (u16::parse(first)?, u16::parse(last)?);
        (200 <= first && first <= last && last <= 599).then_some(Self(first..=last))
    }

    fn render(&self) -> String {
        let (first, last) = (self.0.start(), self.0.end());
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    }
}

/// A status that says that something went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FailureStatus(pub(crate) u16);

impl Scalar for FailureStatus {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a status from 400 to 599",
        right: "`502`, `503` or `504`",
        json: Json::Integer,
    };

    fn parse(text: &str) -> Option<Self> {
        u16::parse(text)
            .filter(|status| (400..=599).contains(status))
            .map(Self)
    }

    fn render(&self) -> String {
        self.0.to_string()
    }
}

/// What a rate limit tells callers apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyWord {
    Tenant,
    Tier,
    Route,
    ClientAddress,
    Header(HeaderName),
}

impl Scalar for KeyWord {
    const SHAPE: ScalarShape = ScalarShape {
        what: "a part of a key",
        right: "`tenant`, `tier`, `route`, `client-address` or `header:X-Name`",
        json: Json::Pattern("^(tenant|tier|route|client-address|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$"),
    };

    fn parse(text: &str) -> Option<Self> {
        match text {
            "tenant" => Some(Self::Tenant),
            "tier" => Some(Self::Tier),
            "route" => Some(Self::Route),
            "client-address" => Some(Self::ClientAddress),
            _ => HeaderName::parse(text.strip_prefix("header:")?).map(Self::Header),
        }
    }

    fn render(&self) -> String {
        match self {
            Self::Tenant => "tenant".to_owned(),
            Self::Tier => "tier".to_owned(),
            Self::Route => "route".to_owned(),
            Self::ClientAddress => "client-address".to_owned(),
            Self::Header(name) => format!("header:{name}"),
        }
    }
}

/// What the requests of a journey have in common.
impl Scalar for WalkKey {
    const SHAPE: ScalarShape = ScalarShape {
        what: "what requests of a journey have in common",
        right: "`trace`, `header:X-Session` or `cookie:sid`",
        json: Json::Pattern("^(trace|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+)$"),
    };

    fn parse(text: &str) -> Option<Self> {
        if text == "trace" {
            return Some(Self::Trace);
        }
        match text.split_once(':')? {
            ("header", name) => HeaderName::parse(name).map(Self::Header),
            // The name of a cookie is a token as well, but for its case (RFC 6265, section 4.1.1).
            ("cookie", name) => HeaderName::parse(name).map(|_| Self::Cookie(name.into())),
            _ => None,
        }
    }

    fn render(&self) -> String {
        match self {
            Self::Trace => "trace".to_owned(),
            Self::Header(name) => format!("header:{name}"),
            Self::Cookie(name) => format!("cookie:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_whole_segments() {
        for text in ["/", "/orders", "/orders/{id}", "/a/{b}/c/{*rest}", "/a//b", "/é"] {
            assert!(PathTemplate::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "orders",
            "/{}",
            "/{*}",
            "/{*rest}/a",
            "/{a}/{a}",
            "/a{b}",
            "/{a",
            "/a?b",
            "/a b",
            "/*",
        ] {
            assert!(PathTemplate::parse(text).is_none(), "{text}");
        }
        assert_eq!(PathTemplate("/a/{b}/{*c}".to_owned()).skeleton(), "/a/{}/{*}");
    }

    #[test]
    fn names_hosts_and_keys() {
        assert!(Name::parse("place-order").is_some());
        assert!(Name::parse("-a").is_none() && Name::parse("").is_none() && Name::parse("a b").is_none());
        assert_eq!(
            Host::parse("*.Example.com").map(|h| h.0).as_deref(),
            Some("*.example.com")
        );
        assert!(Host::parse("a:80").is_none() && Host::parse("a..b").is_none() && Host::parse("*").is_none());
        assert_eq!(
            KeyWord::parse("header:X-Key")
                .map(|k| Scalar::render(&k))
                .as_deref(),
            Some("header:x-key")
        );
        for (text, shown) in [
            ("trace", Some("trace")),
            ("header:X-Session", Some("header:x-session")),
            ("cookie:SID", Some("cookie:SID")),
            ("cookie:a=b", None),
            ("session", None),
        ] {
            let key = WalkKey::parse(text).map(|key| key.render());
            assert_eq!(key.as_deref(), shown, "{text}");
        }
        assert!(KeyWord::parse("ip").is_none() && KeyWord::parse("header:").is_none());
        assert!(Method::parse("get").is_none() && Method::parse("GET").is_some());
    }
}
