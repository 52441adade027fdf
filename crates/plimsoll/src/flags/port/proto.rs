//! flagd's messages in protobuf. There are few, and all are small: they are written down here instead of being
//! generated, which would take a compiler for them and a build script.
//!
//! v1 and v2 differ in that v2 can leave a value out. v1 writes no zeroes, which comes to the same bytes as a value
//! that is left out, so one message does for both.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::Struct;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Served;
use super::evaluation::{Resolved, Typed};
use super::rpc::{Edition, Reply, Request, Takes};
use super::status::{Code, Status};
use super::structs::{from_struct, to_struct};

/// `Resolve…Request`.
#[derive(Clone, PartialEq, Message)]
struct FlagRequest {
    #[prost(string, tag = "1")]
    flag_key: String,
    #[prost(message, optional, tag = "2")]
    context: Option<Struct>,
}

/// `ResolveAllRequest`.
#[derive(Clone, PartialEq, Message)]
struct ContextRequest {
    #[prost(message, optional, tag = "1")]
    context: Option<Struct>,
}

/// A `Resolve…Response`, which differ in the type of their value.
macro_rules! resolve_response {
    ($name:ident, $kind:ident, $value:ty) => {
        #[derive(Clone, PartialEq, Message)]
        struct $name {
            #[prost($kind, optional, tag = "1")]
            value: Option<$value>,
            #[prost(string, tag = "2")]
            reason: String,
            #[prost(string, optional, tag = "3")]
            variant: Option<String>,
            #[prost(message, optional, tag = "4")]
            metadata: Option<Struct>,
        }

        impl $name {
            fn written(value: Option<$value>, resolved: &Resolved) -> Vec<u8> {
                let response = Self {
                    value,
                    reason: resolved.reason.to_owned(),
                    variant: resolved.variant.clone(),
                    metadata: Some(to_struct(&resolved.metadata)),
                };
                response.encode_to_vec()
            }
        }
    };
}

resolve_response!(BooleanResponse, bool, bool);
resolve_response!(StringResponse, string, String);
resolve_response!(FloatResponse, double, f64);
resolve_response!(IntResponse, int64, i64);
resolve_response!(ObjectResponse, message, Struct);

#[derive(Clone, PartialEq, Message)]
struct AllResponse {
    #[prost(btree_map = "string, message", tag = "1")]
    flags: BTreeMap<String, AnyFlag>,
    #[prost(message, optional, tag = "2")]
    metadata: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyFlag {
    #[prost(string, tag = "1")]
    reason: String,
    #[prost(string, tag = "2")]
    variant: String,
    #[prost(oneof = "AnyValue", tags = "3, 4, 5, 6")]
    value: Option<AnyValue>,
    #[prost(message, optional, tag = "7")]
    metadata: Option<Struct>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum AnyValue {
    #[prost(bool, tag = "3")]
    Boolean(bool),
    #[prost(string, tag = "4")]
    String(String),
    #[prost(double, tag = "5")]
    Double(f64),
    #[prost(message, tag = "6")]
    Object(Struct),
}

#[derive(Clone, PartialEq, Message)]
struct EventResponse {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(message, optional, tag = "2")]
    data: Option<Struct>,
}

#[derive(Clone, PartialEq, Message)]
struct MetadataResponse {
    #[prost(message, optional, tag = "2")]
    metadata: Option<Struct>,
}

/// Reads a request.
///
/// # Errors
/// INVALID_ARGUMENT if it is no such message.
pub(super) fn read(message: Bytes, takes: Takes) -> Result<Request, Status> {
    let (flag_key, context) = match takes {
        Takes::Flag => {
            let request = FlagRequest::decode(message).map_err(unfit)?;
            (request.flag_key, request.context)
        }
        Takes::Context => {
            let request = ContextRequest::decode(message).map_err(unfit)?;
            (String::new(), request.context)
        }
        Takes::Nothing => (String::new(), None),
    };
    let context = context.map_or_else(serde_json::Map::new, |context| from_struct(context.fields));
    Ok(Request { flag_key, context })
}

#[expect(clippy::needless_pass_by_value, reason = "it stands where an error is mapped")]
fn unfit(error: prost::DecodeError) -> Status {
    Status::new(
        Code::InvalidArgument,
        format!("the message is not the one of this method: {error}"),
    )
}

/// Writes a reply, as parts of one message.
pub(super) fn written(reply: &Reply, edition: Edition) -> Vec<Bytes> {
    let message = match reply {
        Reply::Resolved(flag) => resolved(flag, edition),
        Reply::All(flags, metadata) => {
            let has_metadata = edition != Edition::Schema;
            let flags = flags
                .iter()
                .map(|(key, flag)| (key.clone(), any(flag, has_metadata)));
            let response = AllResponse {
                flags: flags.collect(),
                metadata: has_metadata.then(|| to_struct(metadata)),
            };
            response.encode_to_vec()
        }
        Reply::Event(kind, data) => {
            let response = EventResponse {
                kind: (*kind).to_owned(),
                data: Some(to_struct(data)),
            };
            response.encode_to_vec()
        }
        Reply::Flags(served) => return flags(served),
        // Python's provider takes it as an error if there is none.
        Reply::Metadata => {
            let metadata = Some(Struct::default());
            MetadataResponse { metadata }.encode_to_vec()
        }
    };
    vec![message.into()]
}

fn resolved(flag: &Resolved, edition: Edition) -> Vec<u8> {
    let is_said = |is_zero: bool| edition == Edition::V2 || !is_zero;
    match flag.value.clone() {
        None => BooleanResponse::written(None, flag),
        Some(Typed::Boolean(bool)) => BooleanResponse::written(is_said(!bool).then_some(bool), flag),
        Some(Typed::String(text)) => StringResponse::written(is_said(text.is_empty()).then_some(text), flag),
        Some(Typed::Float(number)) => {
            // Negative zero is a value in both.
            let is_zero = number.to_bits() == 0;
            FloatResponse::written(is_said(is_zero).then_some(number), flag)
        }
        Some(Typed::Int(number)) => IntResponse::written(is_said(number == 0).then_some(number), flag),
        Some(Typed::Object(members)) => ObjectResponse::written(Some(to_struct(&members)), flag),
    }
}

fn any(flag: &Resolved, has_metadata: bool) -> AnyFlag {
    let value = flag.value.clone().map(|value| match value {
        Typed::Boolean(bool) => AnyValue::Boolean(bool),
        Typed::String(text) => AnyValue::String(text),
        Typed::Float(number) => AnyValue::Double(number),
        Typed::Int(number) => AnyValue::Double(number as f64),
        Typed::Object(members) => AnyValue::Object(to_struct(&members)),
    });
    AnyFlag {
        reason: flag.reason.to_owned(),
        variant: flag.variant.clone().unwrap_or_default(),
        value,
        metadata: has_metadata.then(|| to_struct(&flag.metadata)),
    }
}

/// Definitions as they are held, without a copy of them for each of those who follow.
struct Shared(Arc<Served>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.sync.as_bytes()
    }
}

/// `SyncFlagsResponse` and `FetchAllFlagsResponse`: the definitions are field 1 of both.
fn flags(served: &Arc<Served>) -> Vec<Bytes> {
    let mut head = Vec::with_capacity(8);
    encode_key(1, WireType::LengthDelimited, &mut head);
    encode_varint(served.sync.len() as u64, &mut head);
    vec![head.into(), Bytes::from_owner(Shared(Arc::clone(served)))]
}
