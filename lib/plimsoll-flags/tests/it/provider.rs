//! Flags as a program reads them that uses OpenFeature's SDK.

use core::future::Future;
use core::pin::pin;
use core::task::{Poll, Waker};
use std::sync::Arc;

use open_feature::{EvaluationContext, EvaluationErrorCode, EvaluationReason, OpenFeature, Value};
use plimsoll_flags::provider::{Current, Provider};
use plimsoll_flags::{Bucketing, FlagSet};
use serde_json::json;

/// Waits for what never has to wait: evaluation is in the process, and nobody else holds the SDK.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future
            .as_mut()
            .poll(&mut core::task::Context::from_waker(Waker::noop()))
        {
            return value;
        }
    }
}

fn set(default: &str) -> FlagSet {
    let flag = |variants| json!({ "state": "ENABLED", "variants": variants, "defaultVariant": default });
    let definitions = json!({ "metadata": { "version": "7" }, "flags": {
        "bool": flag(json!({ "one": true, "two": false })),
        "number": flag(json!({ "one": 1, "two": 2.5 })),
        "text": flag(json!({ "one": "a", "two": "b" })),
        "object": flag(json!({ "one": { "size": 3, "tags": ["x"] }, "two": {} })),
        "off": { "state": "DISABLED", "variants": { "one": true } },
        "targeted": { "state": "ENABLED", "variants": { "yes": true, "no": false }, "defaultVariant": "no",
            "targeting": { "if": [{ "and": [
                { "==": [{ "var": "targetingKey" }, "ada"] }, { "==": [{ "var": "user.plan" }, "gold"] },
            ] }, "yes"] } },
    } });
    FlagSet::compile(&definitions, Bucketing::V2).expect("these flags are well formed")
}

#[test]
fn flags_are_served_through_the_sdk_and_exchanged_while_it_runs() {
    let current = Current::new(set("one"));
    let mut api = OpenFeature::default();
    ready(api.set_provider(Provider::new(Arc::clone(&current), || 1_700_000_000)));
    let client = api.create_client();

    let details = ready(client.get_bool_details("bool", None, None)).unwrap();
    assert_eq!((details.value, details.variant.as_deref()), (true, Some("one")));
    assert_eq!(details.reason, Some(EvaluationReason::Static));
    assert_eq!(details.flag_metadata.values["version"], "7".into());
    assert_eq!(ready(client.get_int_value("number", None, None)), Ok(1));
    assert_eq!(ready(client.get_float_value("number", None, None)), Ok(1.0));
    assert_eq!(
        ready(client.get_string_value("text", None, None)),
        Ok("a".to_owned())
    );

    current.exchange(set("two"));
    assert_eq!(ready(client.get_bool_value("bool", None, None)), Ok(false));
    assert_eq!(ready(client.get_float_value("number", None, None)), Ok(2.5));
    let error = ready(client.get_int_value("number", None, None)).unwrap_err();
    assert_eq!(error.code, EvaluationErrorCode::TypeMismatch);
    let error = ready(client.get_bool_value("gone", None, None)).unwrap_err();
    assert_eq!(error.code, EvaluationErrorCode::FlagNotFound);
    assert!(ready(client.get_bool_value("off", None, None)).is_err());
}

#[test]
fn the_context_is_handed_on() {
    let current = Current::new(set("one"));
    let mut api = OpenFeature::default();
    ready(api.set_provider(Provider::new(current, || 0)));
    let client = api.create_client();
    let user = open_feature::EvaluationContextFieldValue::new_struct(json!({ "plan": "gold" }));
    let context = EvaluationContext::default()
        .with_targeting_key("ada")
        .with_custom_field("user", user);
    assert_eq!(
        ready(client.get_bool_value("targeted", Some(&context), None)),
        Ok(true)
    );
    let context = context.with_targeting_key("bob");
    assert_eq!(
        ready(client.get_bool_value("targeted", Some(&context), None)),
        Ok(false)
    );
}

#[test]
fn objects_are_served_as_structures() {
    use open_feature::provider::FeatureProvider as _;
    let provider = Provider::new(Current::new(set("one")), || 0);
    let details = ready(provider.resolve_struct_value("object", &EvaluationContext::default())).unwrap();
    assert_eq!(details.value.fields["size"], Value::Int(3));
    assert_eq!(
        details.value.fields["tags"],
        Value::Array(vec![Value::String("x".to_owned())])
    );
}
