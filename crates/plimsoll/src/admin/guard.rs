//! Who may ask the admin port for what.
//!
//! Three things are looked at, in this order. **The body**: there must be none, but for what the API and forms are
//! told. **The site**: where no key is asked for, `Host` must name this machine's loopback or the bound address, since
//! a page whose name was rebound to 127.0.0.1 still sends its own name; and a request that changes something must not
//! say that it comes from another origin, since every page may send a plain POST here. **The key**: if there are any,
//! one must be shown, by its token or by a session, but for the probes, whose answer is one bit, and the way in; and
//! it must have the role for what is asked. A session's writes send along what no other site can know.

use std::net::{IpAddr, SocketAddr};

use http::header::{ACCEPT, AUTHORIZATION, COOKIE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use hyper::body::Body;

use super::answer::{Answer, problem, redirect};
use super::forms;
use crate::access::{Caller, Door, Key, Now, Refused, Role};
use crate::api;
use crate::dashboard::assets;

/// Refuses what may not be, whoever asks, with the answer for it.
pub(super) fn check(
    head: &Parts,
    body: &impl Body,
    bound: SocketAddr,
    asks_for_keys: bool,
) -> Result<(), Answer> {
    let (path, headers) = (head.uri.path(), &head.headers);
    let takes_body = api::takes_body(&head.method, path) || forms::takes_body(&head.method, path);
    if !body.is_end_stream() && !takes_body {
        return Err(problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The admin port takes no body here",
            "",
        ));
    }
    if head.uri.authority().is_some() {
        return Err(problem(StatusCode::BAD_REQUEST, "The admin port is no proxy", ""));
    }
    if !asks_for_keys && !is_ours(headers, bound) {
        let detail = format!("The Host header must be localhost, a loopback address or {bound}.");
        return Err(problem(
            StatusCode::MISDIRECTED_REQUEST,
            "The Host is not this port's",
            &detail,
        ));
    }
    if is_write(&head.method) && is_cross_site(headers) {
        return Err(problem(
            StatusCode::FORBIDDEN,
            "The request comes from another site",
            "",
        ));
    }
    Ok(())
}

/// Whether anybody may ask for it, by whatever name.
pub(super) fn is_public(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/login") || assets::is_asset(path)
}

/// Who asks; whoever has no right to is refused.
pub(super) fn caller(
    head: &Parts,
    bound: SocketAddr,
    session: &str,
    door: &Door,
    keys: &[Key],
    now: Now,
    from: IpAddr,
) -> Result<Caller, Answer> {
    if keys.is_empty() {
        // A reload took away the last one; the address is that of the start.
        if !bound.ip().to_canonical().is_loopback() {
            let detail = "It can be reached from other machines, and no token is configured any more.";
            return Err(problem(StatusCode::FORBIDDEN, "The admin port is shut", detail));
        }
        return Ok(Caller::anybody());
    }
    let admitted = if head.headers.contains_key(AUTHORIZATION) {
        match token(&head.headers) {
            Some(token) => door.by_token(keys, now, from, token),
            None => Err(Refused::Unknown),
        }
    } else {
        match cookie(&head.headers, session) {
            Some(id) => door.by_session(keys, now, id),
            None => return Err(asks(head, None)),
        }
    };
    let caller = admitted.map_err(|refused| asks(head, Some(refused)))?;
    let needed = role(&head.method, head.uri.path());
    if caller.role < needed {
        let (name, has, needed) = (
            caller.name.as_deref().unwrap_or_default(),
            caller.role.word(),
            needed.word(),
        );
        let detail = format!("It takes the role {needed}; `{name}` is {has}.");
        return Err(problem(
            StatusCode::FORBIDDEN,
            "That is not for this token",
            &detail,
        ));
    }
    Ok(caller)
}

/// The role that something takes. What is not known and writes is for nobody but those who may everything.
fn role(method: &Method, path: &str) -> Role {
    if !is_write(method) {
        return Role::Viewer;
    }
    match path {
        "/reload" | "/drain" => Role::Operator,
        "/logout" => Role::Viewer,
        path => api::role(method, path)
            .or_else(|| forms::role(method, path))
            .unwrap_or(Role::Admin),
    }
}

/// Whether a write of a session shows what its own pages know.
///
/// # Errors
/// It does not.
pub(super) fn check_csrf(caller: &Caller, shown: Option<&str>) -> Result<(), Answer> {
    match &caller.csrf {
        Some(csrf) if shown != Some(&**csrf) => {
            let detail =
                "Load the page again, and send from there; a program sends a token instead of a session.";
            Err(problem(
                StatusCode::FORBIDDEN,
                "The form is not one of this session",
                detail,
            ))
        }
        _ => Ok(()),
    }
}

/// Asks for a token: a browser is led to where one logs in.
fn asks(head: &Parts, refused: Option<Refused>) -> Answer {
    if let Some(Refused::TooOften(wait)) = refused {
        return too_often(wait);
    }
    let accept = head.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_browser = !is_write(&head.method) && accept.is_some_and(|accept| accept.contains("text/html"));
    if is_browser && !api::is_below(head.uri.path()) {
        let next = head.uri.path_and_query().map_or("/", |next| next.as_str());
        return redirect(&format!("/login?{}", forms::written(&[("next", next)])));
    }
    let mut detail = "Send a token as `Authorization: Bearer TOKEN`.".to_owned();
    if let Some(refused) = refused {
        detail = format!("{detail} This time: {refused}.");
    }
    let mut answer = problem(
        StatusCode::UNAUTHORIZED,
        "The admin port asks for a token",
        &detail,
    );
    answer.challenge();
    answer
}

/// The address has to wait.
pub(super) fn too_often(wait: std::time::Duration) -> Answer {
    let seconds = wait.as_secs() + 1;
    let detail = format!("Too many wrong tokens came from this address. Try again in {seconds} s.");
    let mut answer = problem(StatusCode::TOO_MANY_REQUESTS, "Too many wrong tokens", &detail);
    answer.retry_after(seconds);
    answer
}

pub(super) fn is_write(method: &Method) -> bool {
    *method != Method::GET && *method != Method::HEAD
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

/// The token that is shown, if exactly one is.
fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (Some(shown), None) = (shown.next(), shown.next()) else {
        return None;
    };
    let (scheme, secret) = shown.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| secret.trim_ascii())
}

/// The value of a cookie. Of several the first, which is that of the longest path: ours has the shortest, so that a
/// neighbour's of the same name shuts people out and lets nobody in.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut pairs = all
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}
