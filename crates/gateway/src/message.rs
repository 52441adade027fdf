//! Messages on their way through, whatever protocol they came by and go by.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;

use crate::body::answer::AnswerBody;
use crate::body::upload::AttemptBody;
use crate::fields::{Fields, Known, Names, Own, Sink, names_of};
use crate::framing::Refusal;
use crate::framing::head::{Head, is_authority};
use crate::http1::outbox::Framing;
use plimsoll_slo::Reason;

/// Fields that belong to one connection only (RFC 9110 §7.6.1), and those by which it frames.
const OF_CONNECTION: Names = Names::of(&[
    Known::Connection,
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Http2Settings,
    Known::Expect,
    Known::Te,
]);

/// A request's head.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) fields: Fields,
}

/// Where a request is directed.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The target's own host, if it names one: HTTP/2's `:authority`, or that of a whole URI.
    pub(crate) authority: Option<Bytes>,
    /// Path and query: visible ASCII over HTTP/1, perhaps UTF-8 over HTTP/2.
    pub(crate) path_and_query: Bytes,
    path: usize,
}

impl Target {
    fn new(authority: Option<Bytes>, path_and_query: Bytes) -> Self {
        let path = memchr::memchr(b'?', &path_and_query).unwrap_or(path_and_query.len());
        Self {
            authority,
            path_and_query,
            path,
        }
    }

    /// A target of HTTP/1, whose bytes the scanner has looked at.
    fn of_http1(target: Bytes) -> Result<Self, Refusal> {
        const WRONG: Refusal = Refusal::new(
            Reason::MalformedRequest,
            "the request target is neither a path nor a whole URI",
        );
        if target[0] == b'/' || &*target == b"*" {
            return Ok(Self::new(None, target));
        }
        let colon = memchr::memmem::find(&target, b"://").ok_or(WRONG)?;
        let scheme_is_plain = target[..colon]
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        let start = colon + 3;
        let rest = &target[start..];
        let end = start + memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
        let authority = target.slice(start..end);
        if colon == 0 || !scheme_is_plain {
            return Err(WRONG);
        }
        if !is_authority(&authority) {
            return Err(Refusal::new(
                Reason::InvalidHost,
                "the target's host is not a host and optional port",
            ));
        }
        let path_and_query = match target.get(end) {
            None => Bytes::from_static(b"/"),
            Some(b'/') => target.slice(end..),
            Some(_) => [b"/", &target[end..]].concat().into(),
        };
        Ok(Self::new(Some(authority), path_and_query))
    }

    fn of_uri(uri: &Uri) -> Self {
        let authority = uri
            .authority()
            .map(|host| Bytes::copy_from_slice(host.as_str().as_bytes()));
        let path_and_query = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Self::new(authority, Bytes::copy_from_slice(path_and_query.as_bytes()))
    }

    /// The path, without the query, which may hold secrets.
    pub(crate) fn path(&self) -> &str {
        str::from_utf8(&self.path_and_query[..self.path]).unwrap_or("")
    }
}

impl RequestHead {
    /// A head of HTTP/1 that was scanned in `bytes`.
    pub(crate) fn of_http1(head: Head, bytes: Bytes) -> Result<Self, Refusal> {
        let method = Method::from_bytes(&bytes[head.method]).unwrap_or_default();
        Ok(Self {
            method,
            target: Target::of_http1(bytes.slice(head.target))?,
            fields: Fields::new(bytes, head.rows),
        })
    }

    /// A head of HTTP/2.
    pub(crate) fn of_http2(parts: http::request::Parts) -> Self {
        Self {
            method: parts.method,
            target: Target::of_uri(&parts.uri),
            fields: Fields::from(&parts.headers),
        }
    }

    /// The protocol that an Upgrade request asks for, if it asks for one that we pass on. `h2c` is none: HTTP/2 in
    /// cleartext is by prior knowledge (RFC 9113 §3.1).
    pub(crate) fn upgrade(&self) -> Option<HeaderValue> {
        let asked = self.fields.has(Known::Upgrade) && self.fields.lists(Known::Connection, "upgrade");
        let protocol = self.fields.value(Known::Upgrade).filter(|_| asked)?;
        (!protocol.as_bytes().eq_ignore_ascii_case(b"h2c")).then_some(protocol)
    }
}

/// The fields of a message that go no further.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    known: Names,
    /// Names that `Connection` lists.
    named: Vec<HeaderName>,
}

impl Dropped {
    /// What belongs to the connection that the message came on. `own` fields take the place of what came.
    pub(crate) fn of(fields: &Fields, own: &[(Known, HeaderValue)]) -> Self {
        let mut dropped = Self {
            known: OF_CONNECTION.and(names_of(own)),
            named: Vec::new(),
        };
        // Chunks overrule a length (RFC 9112 §6.3), which must not go on as though it were true.
        if fields.has(Known::TransferEncoding) {
            dropped.known = dropped.known.with(Known::ContentLength);
        }
        if fields.has(Known::Connection) {
            for name in fields.items(Known::Connection) {
                dropped.name(name);
            }
        }
        dropped
    }

    fn name(&mut self, name: &str) {
        // A caller cannot make us forget who it is, or where it wanted to go.
        let kept =
            name.eq_ignore_ascii_case("host") || name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case("x-"));
        if kept {
            return;
        }
        match Known::of(name.as_bytes()) {
            Some(known) => self.known = self.known.with(known),
            None => self.named.extend(name.parse::<HeaderName>()),
        }
    }

    #[must_use]
    pub(crate) fn and(mut self, known: Names) -> Self {
        self.known = self.known.and(known);
        self
    }

    fn has(&self, known: Option<Known>, name: &[u8]) -> bool {
        known.is_some_and(|known| self.known.has(known))
            || self
                .named
                .iter()
                .any(|dropped| dropped.as_str().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Writes the fields that are not dropped, nor in `also`, and then our own.
    pub(crate) fn write(
        &self,
        also: Names,
        fields: &Fields,
        own: &[(Known, HeaderValue)],
        sink: &mut impl Sink,
    ) {
        fields.pass(
            |known, name| known.is_some_and(|known| also.has(known)) || self.has(known, name),
            sink,
        );
        for (name, value) in own {
            sink.own(*name, value);
        }
    }
}

/// A request as it is sent to an upstream.
pub(crate) enum Outbound {
    Http1(Http1Request),
    Http2(Request<AttemptBody>),
}

/// A request in HTTP/1.
pub(crate) struct Http1Request {
    /// From the request line to the empty line.
    pub(crate) head: Vec<u8>,
    pub(crate) framing: Framing,
    pub(crate) body: AttemptBody,
    /// Its answer has no body, whatever that says.
    pub(crate) bodiless: bool,
    /// It asks for another protocol.
    pub(crate) upgrade: bool,
}

impl Outbound {
    /// A request of HTTP/2, or `None` if its target cannot be said there.
    pub(crate) fn http2(
        method: Method,
        authority: &[u8],
        path_and_query: &Bytes,
        secure: bool,
        fields: HeaderMap,
        body: AttemptBody,
    ) -> Option<Self> {
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(PathAndQuery::from_maybe_shared(path_and_query.clone()).ok()?);
        uri.scheme = Some(if secure {
            http::uri::Scheme::HTTPS
        } else {
            http::uri::Scheme::HTTP
        });
        uri.authority = Authority::try_from(authority).ok();
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::from_parts(uri).ok()?;
        *request.headers_mut() = fields;
        Some(Self::Http2(request))
    }
}

/// An upstream's answer up to its body.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
}

/// An answer on its way to the caller.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// The upstream's, without those that are dropped.
    pub(crate) fields: Fields,
    pub(crate) dropped: Dropped,
    /// Ours, in place of the upstream's of the same names.
    pub(crate) own: Own,
    pub(crate) body: AnswerBody,
    /// The connection cannot go on after it, if it is HTTP/1.
    pub(crate) close: bool,
}

impl Reply {
    /// An answer of our own making.
    pub(crate) fn own(status: StatusCode, own: Own, body: AnswerBody) -> Self {
        Self {
            status,
            fields: Fields::default(),
            dropped: Dropped::default(),
            own,
            body,
            close: false,
        }
    }

    /// Adds fields of ours, in place of any of the same name.
    pub(crate) fn add(&mut self, own: Own) {
        let names = names_of(&own);
        self.own.retain(|(name, _)| !names.has(*name));
        self.dropped.known = self.dropped.known.and(names);
        self.own.extend(own);
    }

    /// Whether it switches protocols.
    pub(crate) fn switches(&self) -> bool {
        self.status == StatusCode::SWITCHING_PROTOCOLS
    }

    /// Whether its status says that it has no body, whatever else does.
    pub(crate) fn has_no_body(&self) -> bool {
        self.status.is_informational()
            || matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// Writes the head in HTTP/1, but for what is about the connection and the empty line.
    pub(crate) fn write(&self, out: &mut Vec<u8>, framing: Framing, bodiless: bool, date: &[u8]) {
        out.reserve(self.fields.size() + 320 + framing.copied());
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.status.as_str().as_bytes());
        out.push(b' ');
        out.extend_from_slice(self.status.canonical_reason().unwrap_or("").as_bytes());
        out.extend_from_slice(b"\r\n");
        // The length that an answer would have had may be told with HEAD and 304 only.
        let tells_length = framing == Framing::None && (bodiless || self.status == StatusCode::NOT_MODIFIED);
        let framed = if tells_length {
            Names::default()
        } else {
            Names::of(&[Known::ContentLength])
        };
        self.dropped.write(framed, &self.fields, &self.own, out);
        if !self.fields.has(Known::Date) && !self.switches() {
            out.pass(b"date", date);
        }
        match framing {
            Framing::Length(length) => out.number(Known::ContentLength, length),
            Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Framing::None | Framing::Close => {}
        }
    }

    /// The answer in HTTP/2: its head, and the body to be sent after it unless it has `no_body`.
    pub(crate) fn into_http2(self, no_body: bool, date: HeaderValue) -> (Response<()>, AnswerBody) {
        let mut headers = HeaderMap::with_capacity(16);
        self.dropped
            .write(Names::default(), &self.fields, &self.own, &mut headers);
        if self.status == StatusCode::NO_CONTENT {
            headers.remove(CONTENT_LENGTH);
        }
        if !no_body
            && !self.body.is_end_stream()
            && let Some(length) = self.body.exact()
        {
            headers.entry(CONTENT_LENGTH).or_insert(length.into());
        }
        headers.entry(DATE).or_insert(date);
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        (response, self.body)
    }
}
