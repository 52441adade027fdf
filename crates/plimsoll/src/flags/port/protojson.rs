//! flagd's messages in JSON, as protobuf's mapping has it: names in camel case, both kinds read, 64-bit integers as
//! texts. flagd writes fields that are empty; only v2 leaves out a value or a variant that there is not.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::evaluation::{Resolved, Typed};
use super::rpc::{Edition, Reply, Request, Takes};
use super::status::{Code, Status};

/// Reads a request. Fields that are not known are passed over.
///
/// # Errors
/// INVALID_ARGUMENT if it is no such message.
pub(super) fn read(message: &[u8], takes: Takes) -> Result<Request, Status> {
    let unfit = |why: String| Status::new(Code::InvalidArgument, why);
    let mut fields = match serde_json::from_slice(message) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(unfit("the body is not an object; send at least {}".to_owned())),
        Err(_) if message.is_empty() => return Err(unfit("the body is empty; send at least {}".to_owned())),
        Err(error) => return Err(unfit(format!("the body is not JSON: {error}"))),
    };
    let mut request = Request::default();
    if takes == Takes::Flag {
        request.flag_key = match fields.remove("flagKey").or_else(|| fields.remove("flag_key")) {
            Some(Value::String(key)) => key,
            None | Some(Value::Null) => String::new(),
            Some(other) => return Err(unfit(format!("flagKey is {other}; it has to be a text"))),
        };
    }
    if takes != Takes::Nothing {
        request.context = match fields.remove("context") {
            Some(Value::Object(context)) => context,
            None | Some(Value::Null) => Map::new(),
            Some(_) => return Err(unfit("context has to be an object of attributes".to_owned())),
        };
    }
    Ok(request)
}

/// Writes a reply.
pub(super) fn written(reply: &Reply, edition: Edition) -> Bytes {
    let message = match reply {
        Reply::Resolved(flag) => resolved(flag, edition),
        Reply::All(flags, metadata) => {
            let flags = flags.iter().map(|(key, flag)| (key.clone(), any(flag, edition)));
            let flags: Map<String, Value> = flags.collect();
            let mut all = json!({ "flags": flags });
            if edition != Edition::Schema {
                all["metadata"] = metadata.clone().into();
            }
            all
        }
        Reply::Event(kind, data) => json!({ "type": kind, "data": data }),
        Reply::Flags(served) => json!({ "flagConfiguration": served.sync }),
        Reply::Metadata => json!({ "metadata": {} }),
    };
    message.to_string().into()
}

fn resolved(flag: &Resolved, edition: Edition) -> Value {
    let mut fields = json!({ "reason": flag.reason, "metadata": flag.metadata });
    if let Some(value) = flag.value.clone() {
        fields["value"] = match value {
            Typed::Boolean(bool) => bool.into(),
            Typed::String(text) => text.into(),
            Typed::Float(number) => number.into(),
            Typed::Int(number) => number.to_string().into(),
            Typed::Object(members) => members.into(),
        };
    }
    match &flag.variant {
        Some(variant) => fields["variant"] = variant.as_str().into(),
        None if edition == Edition::V2 => {}
        None => fields["variant"] = "".into(),
    }
    fields
}

fn any(flag: &Resolved, edition: Edition) -> Value {
    let mut fields = json!({ "reason": flag.reason, "variant": flag.variant.as_deref().unwrap_or_default() });
    if edition != Edition::Schema {
        fields["metadata"] = flag.metadata.clone().into();
    }
    match flag.value.clone() {
        Some(Typed::Boolean(bool)) => fields["boolValue"] = bool.into(),
        Some(Typed::String(text)) => fields["stringValue"] = text.into(),
        Some(Typed::Float(number)) => fields["doubleValue"] = number.into(),
        Some(Typed::Int(number)) => fields["doubleValue"] = number.into(),
        Some(Typed::Object(members)) => fields["objectValue"] = members.into(),
        None => {}
    }
    fields
}
