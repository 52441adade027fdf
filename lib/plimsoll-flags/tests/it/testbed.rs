//! What flagd asks of evaluators and providers, from its public test bed, as scripts of ours.
//!
//! A script has flags and shared rules as JSON, and a line for each case: the generations of bucketing that it holds in,
//! the kind of value that is asked for, the flag, the context, and what has to come out: the value (`-` for the code's
//! own default, which `or -` allows as well, where the two are the same), the reason, the error.

use plimsoll_flags::{Bucketing, Context, FlagSet, Kind};
use serde_json::{Map, Value, json};

/// Plays a script; how many evaluations it asked for.
fn check(script: &str) -> usize {
    let (mut flags, mut evaluators) = (Map::new(), Map::new());
    let mut cases = Vec::new();
    for line in script
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let definition = |rest: &str| {
            let (name, json) = rest.split_once(' ').expect("a name and JSON");
            (
                name.to_owned(),
                serde_json::from_str::<Value>(json).expect("JSON"),
            )
        };
        if let Some(rest) = line.strip_prefix("flag ") {
            flags.extend([definition(rest)]);
        } else if let Some(rest) = line.strip_prefix("evaluator ") {
            evaluators.extend([definition(rest)]);
        } else {
            cases.push(line);
        }
    }
    let definitions = json!({ "flags": flags, "$evaluators": evaluators });
    let mut played = 0;
    for bucketing in [Bucketing::V1, Bucketing::V2, Bucketing::V3] {
        // As flagd loads them: one of its cases is a reference to nothing.
        let set = FlagSet::compile_as_flagd(&definitions, bucketing)
            .unwrap_or_else(|problems| panic!("{problems:?}"));
        for case in &cases {
            played += usize::from(play(case, &set));
        }
    }
    played
}

/// Plays a case, if it holds in the set's generation.
fn play(case: &str, set: &FlagSet) -> bool {
    let (asked, wanted) = case
        .rsplit_once(": ")
        .expect("a colon before what has to come out");
    // Values hold colons too; contexts end with a brace.
    let (asked, wanted) = match asked.rfind("}: ") {
        Some(at) => (&case[..=at], &case[at + 3..]),
        None => (asked, wanted),
    };
    let (words, context) = asked.split_once('{').expect("a context");
    let mut words: Vec<&str> = words.split_whitespace().collect();
    let (flag, kind) = (words.pop().expect("a flag"), words.pop().expect("a kind"));
    if !words.contains(&set.bucketing().to_string().as_str()) {
        return false;
    }
    let kind = match kind {
        "bool" => Kind::Bool,
        "string" => Kind::String,
        "number" => Kind::Number,
        _ => Kind::Object,
    };
    let context: Value = serde_json::from_str(&format!("{{{context}")).expect("a context");
    let context = Context::try_from(context).expect("a context is an object");
    let evaluation = set.evaluate(flag, &context, 1_700_000_000).of_kind(kind);
    let error = evaluation.error.as_ref().map(|(code, _)| code.to_string());
    for part in parts(wanted) {
        match part.split_once(' ') {
            Some(("reason", reason)) => assert_eq!(evaluation.reason.to_string(), reason, "{case}"),
            Some(("error", code)) => assert_eq!(error.as_deref(), Some(code), "{case}"),
            Some(("metadata", metadata)) => {
                let metadata: Map<String, Value> = serde_json::from_str(metadata).expect("an object");
                assert_eq!(*evaluation.metadata, metadata, "{case}");
            }
            _ if part == "-" => assert_eq!(evaluation.value, None, "{case}"),
            _ if part.ends_with(" or -") && evaluation.value.is_none() => {}
            _ => {
                let part = part.trim_end_matches(" or -");
                let value: Value = serde_json::from_str(part).expect("a value");
                let ours = evaluation.value.expect(case);
                let same = ours == &value || (value.is_number() && ours.as_f64() == value.as_f64());
                assert!(same, "{ours} in {case}");
            }
        }
    }
    if !wanted.contains("error ") && !wanted.contains(" or -") {
        assert_eq!(error, None, "{case}");
    }
    true
}

/// What has to come out, cut at its commas; those inside of a value are followed by a quote or a digit.
fn parts(wanted: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = wanted;
    while let Some(at) = [", reason ", ", error ", ", metadata "]
        .iter()
        .filter_map(|cut| rest.find(cut))
        .min()
    {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    parts.push(rest);
    parts
}

macro_rules! scripts {
    ($($name:ident: $file:literal, $cases:literal;)*) => {$(
        #[test]
        fn $name() {
            assert_eq!(check(include_str!(concat!("../../testdata/testbed/", $file, ".txt"))), $cases);
        }
    )*};
}

scripts! {
    disabled: "evaluator-disabled", 15;
    errors: "evaluator-errors", 6;
    evaluation: "evaluator-evaluation", 15;
    shared_rules: "evaluator-evaluator-refs", 27;
    fractional: "evaluator-fractional", 57;
    metadata: "evaluator-metadata", 15;
    no_default_variant: "evaluator-no-default-variant", 15;
    versions: "evaluator-semver", 93;
    texts: "evaluator-string", 24;
    targeting: "evaluator-targeting", 6;
    zeros: "evaluator-zero-values", 39;
    provider_evaluation: "provider-evaluation", 63;
    provider_targeting: "provider-targeting", 365;
    provider_disabled: "provider-disabled", 15;
}
