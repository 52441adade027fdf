//! Who may ask the admin port for what.
//!
//! Three things are looked at, in this order. **The body**: there must be none, but for what the API is told. **The site**: without a token, `Host`
//! must name this machine's loopback or the bound address, since a page whose name was rebound to 127.0.0.1 still
//! sends its own name; and a request that changes something must not say that it comes from another origin, since
//! every page may send a plain POST here. **The token**: if one is set it must be shown, but for the probes, whose
//! answer is one bit.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::Body;

use super::answer::{Answer, problem};
use crate::api;

/// Checks the token that a caller shows. How it is kept, and that comparing takes the same time whatever is shown,
/// is the business of whoever makes it.
#[derive(Clone)]
pub(crate) struct Token(Arc<Matches>);

type Matches = dyn Fn(&[u8]) -> bool + Send + Sync;

impl Token {
    /// A token that `matches` tells from others. It is asked for every request, so a renewed token needs no restart.
    pub(crate) fn new(matches: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(matches))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Refuses what may not be, with the answer for it.
pub(super) fn check<T: Body>(
    request: &Request<T>,
    bound: SocketAddr,
    token: Option<&Token>,
) -> Result<(), Answer> {
    let headers = request.headers();
    if !request.body().is_end_stream() && !api::takes_body(request.method(), request.uri().path()) {
        return Err(problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The admin port takes no body here",
            "",
        ));
    }
    if request.uri().authority().is_some() {
        return Err(problem(StatusCode::BAD_REQUEST, "The admin port is no proxy", ""));
    }
    if token.is_none() && !is_ours(headers, bound) {
        let detail = format!("The Host header must be localhost, a loopback address or {bound}.");
        return Err(problem(
            StatusCode::MISDIRECTED_REQUEST,
            "The Host is not this port's",
            &detail,
        ));
    }
    if *request.method() != Method::GET && *request.method() != Method::HEAD && is_cross_site(headers) {
        return Err(problem(
            StatusCode::FORBIDDEN,
            "The request comes from another site",
            "",
        ));
    }
    match token {
        Some(token) if !is_probe(request.uri().path()) && !shows(headers, token) => {
            let detail = "Send the admin token as `Authorization: Bearer TOKEN`.";
            let mut answer = problem(
                StatusCode::UNAUTHORIZED,
                "The admin port asks for its token",
                detail,
            );
            answer.challenge();
            Err(answer)
        }
        _ => Ok(()),
    }
}

fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz")
}

/// Whether exactly one `Host` is there and names this machine.
fn is_ours(headers: &HeaderMap, bound: SocketAddr) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let Ok(host) = host.to_str() else { return false };
    let name = without_port(host);
    match name.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback() || ip == bound.ip(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// The host without its port; an IPv6 address keeps its brackets.
fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if host[colon..].bytes().skip(1).all(|b| b.is_ascii_digit()) && !host.ends_with(']') => {
            &host[..colon]
        }
        _ => host,
    }
}

/// Whether a browser says that another site sends this. Programs say nothing of the kind.
fn is_cross_site(headers: &HeaderMap) -> bool {
    let fetch_site = headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes);
    if fetch_site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return true;
    }
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("");
    let own = |origin: &str| {
        origin
            .split_once("://")
            .is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
    };
    headers
        .get(ORIGIN)
        .is_some_and(|origin| !origin.to_str().is_ok_and(own))
}

fn shows(headers: &HeaderMap, token: &Token) -> bool {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(shown), None) = (shown.next(), shown.next()) else {
        return false;
    };
    let Some((scheme, secret)) = shown.as_bytes().split_at_checked(7) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && (token.0)(secret.trim_ascii())
}
