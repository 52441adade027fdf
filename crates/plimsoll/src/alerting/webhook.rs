//! Anybody's webhook: JSON, signed as the Standard Webhooks specification says (version 1, `v1` signatures), so that
//! who gets it can tell that it is ours, that nothing was changed, and that it is not an old one once more.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use ring::hmac;
use serde_json::{Value, json};

use super::telling::Telling;
use crate::civil;

/// The body of the request: all of these alerts at once.
pub(super) fn body(tellings: &[Telling], labels: &[(String, String)]) -> Value {
    let labels: serde_json::Map<String, Value> = labels
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let alerts: Vec<Value> = tellings
        .iter()
        .map(|telling| {
            let opened = &telling.alert.opened;
            json!({
                "id": &*telling.alert.id,
                "told": telling.told,
                "title": telling.title(),
                "sentence": telling.sentence(),
                "opened_at": civil::moment(telling.alert.opened_at),
                "closed_at": telling.alert.closed.as_ref().map(|(at, _)| civil::moment(*at)),
                "incident": telling.incident,
                "link": telling.link(),
                "alert": opened,
            })
        })
        .collect();
    json!({ "type": "alerts", "labels": labels, "alerts": alerts })
}

/// The three headers that say who sent it and when. `id` is the same when the same is sent again.
pub(super) fn sign(secret: &str, id: &str, seconds: u64, body: &[u8]) -> HeaderMap {
    // `whsec_` and base64 is how the specification writes a secret; any other text is taken for its bytes.
    let bytes = secret
        .strip_prefix("whsec_")
        .and_then(|text| STANDARD.decode(text).ok());
    let key = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_deref().unwrap_or(secret.as_bytes()));
    let mut signed = format!("{id}.{seconds}.").into_bytes();
    signed.extend_from_slice(body);
    let signature = format!("v1,{}", STANDARD.encode(hmac::sign(&key, &signed)));
    let values = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signature),
    ];
    // An id is ours, and the rest are digits and base64.
    let value = |text: String| HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unfit"));
    values
        .into_iter()
        .map(|(name, text)| (http::HeaderName::from_static(name), value(text)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let headers = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(
            headers["webhook-signature"],
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }
}
