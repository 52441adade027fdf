//! How messages are framed: gRPC over h2, and Connect.
//!
//! Streams of both, and single messages of gRPC, come in envelopes: a byte of flags, four bytes of length, the
//! message. gRPC says how it ended in trailers, and if there is no message at all, in the headers; a Connect stream
//! says so in a last envelope, and is a success for HTTP whatever that says. A single message of Connect is a plain
//! body, with an HTTP status.
//!
//! Nothing is compressed: messages are small, and clients have to take them as they are.

use std::fmt::Write as _;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use serde_json::{Value, json};

use super::body::Body;
use super::follow::Follower;
use super::rpc::{Edition, Reply, Request, Takes};
use super::status::{Code, Status};
use super::{proto, protojson};

/// How a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wire {
    pub(super) framing: Framing,
    codec: Codec,
    edition: Edition,
    content_type: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Grpc,
    /// One message each way.
    Connect,
    ConnectStream,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Codec {
    Proto,
    Json,
}

/// What is taken.
static CONTENT_TYPES: &[(&str, Framing, Codec)] = &[
    ("application/grpc", Framing::Grpc, Codec::Proto),
    ("application/grpc+proto", Framing::Grpc, Codec::Proto),
    ("application/grpc+json", Framing::Grpc, Codec::Json),
    ("application/proto", Framing::Connect, Codec::Proto),
    ("application/json", Framing::Connect, Codec::Json),
    ("application/connect+proto", Framing::ConnectStream, Codec::Proto),
    ("application/connect+json", Framing::ConnectStream, Codec::Json),
];

/// The same for an answer to somebody who sent something else.
pub(super) const ACCEPT_POST: &str = "application/grpc, application/grpc+proto, application/grpc+json, application/proto, \
     application/json, application/connect+proto, application/connect+json";

const ENVELOPE: usize = 5;
const COMPRESSED: u8 = 1;
const END_OF_STREAM: u8 = 2;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const CONNECT_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("connect-accept-encoding");

impl Wire {
    /// What the headers of a request say; `None` if it is nothing that is known here.
    pub(super) fn of(headers: &HeaderMap, edition: Edition) -> Option<Self> {
        let said = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        let said = said.split(';').next()?.trim();
        let known = CONTENT_TYPES
            .iter()
            .find(|(known, ..)| known.eq_ignore_ascii_case(said));
        known.map(|&(content_type, framing, codec)| Self {
            framing,
            codec,
            edition,
            content_type,
        })
    }

    /// The one message of a request.
    pub(super) fn read(self, headers: &HeaderMap, body: &Bytes, takes: Takes) -> Result<Request, Status> {
        let message = match self.framing {
            Framing::Grpc | Framing::ConnectStream => opened(body)?,
            Framing::Connect => {
                if headers
                    .get(CONTENT_ENCODING)
                    .is_some_and(|encoding| encoding != "identity")
                {
                    return Err(compressed());
                }
                body.clone()
            }
        };
        match self.codec {
            Codec::Proto => proto::read(message, takes),
            Codec::Json => protojson::read(&message, takes),
        }
    }

    fn written(self, reply: &Reply) -> Vec<Bytes> {
        match self.codec {
            Codec::Proto => proto::written(reply, self.edition),
            Codec::Json => vec![protojson::written(reply, self.edition)],
        }
    }

    /// A message in its envelope.
    pub(super) fn message(self, reply: &Reply) -> Vec<Bytes> {
        enveloped(0, self.written(reply))
    }

    /// An answer of one message.
    pub(super) fn answer(self, reply: &Reply) -> Response<Body> {
        self.response(match self.framing {
            Framing::Connect => Body::of(self.written(reply), None),
            Framing::Grpc | Framing::ConnectStream => {
                let mut trailers = HeaderMap::new();
                trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
                Body::of(self.message(reply), Some(trailers))
            }
        })
    }

    /// An answer of messages as they come.
    pub(super) fn stream(self, follower: Follower) -> Response<Body> {
        self.response(Body::following(follower))
    }

    pub(super) fn refuse(self, status: &Status) -> Response<Body> {
        match self.framing {
            Framing::Grpc => {
                let mut response = self.response(Body::empty());
                response.headers_mut().extend(trailers(status));
                response
            }
            Framing::Connect => {
                let mut response = self.response(Body::whole(error(status).to_string()));
                *response.status_mut() = status.code.http();
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            Framing::ConnectStream => self.response(Body::of(last(status), None)),
        }
    }

    /// How a stream ends: never well.
    pub(super) fn end(self) -> (Vec<Bytes>, Option<HeaderMap>) {
        let status = Status::closing();
        match self.framing {
            Framing::Grpc => (Vec::new(), Some(trailers(&status))),
            Framing::Connect | Framing::ConnectStream => (last(&status), None),
        }
    }

    fn response(self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let identity = HeaderValue::from_static("identity");
        match self.framing {
            Framing::Grpc => _ = headers.insert(GRPC_ACCEPT_ENCODING, identity),
            Framing::ConnectStream => _ = headers.insert(CONNECT_ACCEPT_ENCODING, identity),
            Framing::Connect => {}
        }
        response
    }
}

/// The refusal of a gRPC method that is not here.
pub(super) fn unknown_method(headers: &HeaderMap, path: &str) -> Option<Response<Body>> {
    let wire = Wire::of(headers, Edition::V2).filter(|wire| wire.framing == Framing::Grpc)?;
    Some(wire.refuse(&Status::new(
        Code::Unimplemented,
        format!("there is no method {path}"),
    )))
}

fn opened(body: &Bytes) -> Result<Bytes, Status> {
    let unfit = |why: &str| {
        Status::new(
            Code::InvalidArgument,
            format!("{why}; send one message in an envelope"),
        )
    };
    let Some((head, rest)) = body.split_first_chunk::<ENVELOPE>() else {
        return Err(unfit("the body ends before its first message"));
    };
    let [flags, length @ ..] = *head;
    let length = u32::from_be_bytes(length) as usize;
    if flags & COMPRESSED != 0 {
        return Err(compressed());
    }
    match rest.len() {
        // A Connect client may say after its message that it is the last.
        left if left > length && rest[length] & END_OF_STREAM == 0 => {
            Err(unfit("there is more than one message"))
        }
        left if left < length => Err(unfit("the message is shorter than its envelope says")),
        _ => Ok(body.slice(ENVELOPE..ENVELOPE + length)),
    }
}

fn compressed() -> Status {
    Status::new(
        Code::Unimplemented,
        "compressed messages are not read here; send them as they are (identity)",
    )
}

fn enveloped(flags: u8, message: Vec<Bytes>) -> Vec<Bytes> {
    let length: usize = message.iter().map(Bytes::len).sum();
    let mut envelope = BytesMut::with_capacity(ENVELOPE);
    envelope.put_u8(flags);
    // Definitions have far less than 4 GiB.
    envelope.put_u32(length as u32);
    let mut chunks = Vec::with_capacity(message.len() + 1);
    chunks.push(envelope.freeze());
    chunks.extend(message);
    chunks
}

fn error(status: &Status) -> Value {
    json!({ "code": status.code.word(), "message": status.message })
}

fn last(status: &Status) -> Vec<Bytes> {
    let message = json!({ "error": error(status) }).to_string();
    enveloped(END_OF_STREAM, vec![message.into()])
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(GRPC_STATUS, HeaderValue::from_static(status.code.number()));
    let message = percent_encoded(&status.message);
    let message = HeaderValue::from_str(&message).expect("it is printable ASCII");
    trailers.insert(GRPC_MESSAGE, message);
    trailers
}

/// As gRPC wants it: what is not printable ASCII, and the percent sign.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => encoded.push(char::from(byte)),
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_opened_or_refused() {
        let sealed = enveloped(0, vec!["ab".into(), "c".into()]).concat();
        assert_eq!(sealed, b"\0\0\0\0\x03abc");
        assert_eq!(opened(&sealed.clone().into()).unwrap(), "abc");
        let code = |body: &[u8]| opened(&Bytes::copy_from_slice(body)).unwrap_err().code;
        assert_eq!(code(b"\0\0\0"), Code::InvalidArgument);
        assert_eq!(code(b"\0\0\0\0\x04abc"), Code::InvalidArgument);
        assert_eq!(code(b"\0\xff\xff\xff\xffabc"), Code::InvalidArgument);
        assert_eq!(code(b"\x01\0\0\0\x03abc"), Code::Unimplemented);
        assert_eq!(
            code(&[sealed.as_slice(), &sealed].concat()),
            Code::InvalidArgument
        );
        let ended = [sealed.as_slice(), b"\x02\0\0\0\x02{}"].concat();
        assert_eq!(opened(&ended.into()).unwrap(), "abc");
    }

    #[test]
    fn a_message_in_a_trailer_is_printable() {
        let status = Status::new(Code::NotFound, "100 % größer\n");
        assert_eq!(trailers(&status)[GRPC_MESSAGE], "100 %25 gr%C3%B6%C3%9Fer%0A");
        assert_eq!(trailers(&status)[GRPC_STATUS], "5");
    }

    #[test]
    fn content_types_are_told_apart() {
        let of = |said: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(said));
            Wire::of(&headers, Edition::V2).map(|wire| (wire.framing, wire.codec))
        };
        assert_eq!(of("application/grpc"), Some((Framing::Grpc, Codec::Proto)));
        assert_eq!(
            of("Application/JSON; charset=utf-8"),
            Some((Framing::Connect, Codec::Json))
        );
        assert_eq!(
            of("application/connect+json"),
            Some((Framing::ConnectStream, Codec::Json))
        );
        assert_eq!(of("application/grpc-web"), None);
    }
}
