//! The form of each kind: which fields there are, what they are, and which must be there.
//!
//! Of an inline object `apiVersion` and `kind` may be left out.

/// What a value has to be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    /// Any text.
    Text,
    /// A text of up to 1,050 characters.
    Description,
    /// A DNS label (RFC 1123): what objects are called, and referred to by.
    Label,
    Number,
    Truth,
    Words(&'static [&'static str]),
    /// A number and a unit.
    Shorthand,
    /// The same, or a number of minutes.
    Slice,
    Zone,
    /// `2020-01-21 12:30:00`, without a zone.
    Civil,
    /// Text keys to texts, or to lists of texts.
    Labels,
    /// Text keys to texts.
    Annotations,
    Anything,
    Map(&'static [Field]),
    List(&'static Form),
}

/// A field of a map.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) is_needed: bool,
}

const fn may(name: &'static str, form: Form) -> Field {
    Field {
        name,
        form,
        is_needed: false,
    }
}

const fn must(name: &'static str, form: Form) -> Field {
    Field {
        name,
        form,
        is_needed: true,
    }
}

const METADATA: Form = Form::Map(&[
    must("name", Form::Label),
    may("displayName", Form::Text),
    may("labels", Form::Labels),
    may("annotations", Form::Annotations),
]);

const METRIC: Form = Form::Map(&[must(
    "metricSource",
    Form::Map(&[
        may("metricSourceRef", Form::Label),
        may("type", Form::Text),
        may("spec", Form::Anything),
    ]),
)]);

const SLI: Form = Form::Map(&[
    may("description", Form::Description),
    may("thresholdMetric", METRIC),
    may(
        "ratioMetric",
        Form::Map(&[
            may("counter", Form::Truth),
            may("good", METRIC),
            may("bad", METRIC),
            may("total", METRIC),
            may("rawType", Form::Words(&["success", "failure"])),
            may("raw", METRIC),
        ]),
    ),
]);

const INDICATOR: Form = Form::Map(&[must("metadata", METADATA), must("spec", SLI)]);

const OPERATOR: Form = Form::Words(&["lte", "gte", "lt", "gt"]);

const CONDITION: Form = Form::Map(&[
    may("description", Form::Description),
    must("severity", Form::Text),
    must(
        "condition",
        Form::Map(&[
            may("kind", Form::Words(&["burnrate"])),
            must("op", OPERATOR),
            must("threshold", Form::Number),
            must("lookbackWindow", Form::Shorthand),
            may("alertAfter", Form::Shorthand),
        ]),
    ),
]);

const TARGET: Form = Form::Map(&[may("description", Form::Description), must("target", Form::Text)]);

/// Fields of an object that may stand inline, and those of a reference to it; that it is one of both is looked at later.
macro_rules! inline {
    ($reference:literal, $kind:literal, $spec:expr) => {
        Form::Map(&[
            may($reference, Form::Label),
            may("apiVersion", Form::Words(&["openslo/v1"])),
            may("kind", Form::Words(&[$kind])),
            may("metadata", METADATA),
            may("spec", $spec),
        ])
    };
}

const POLICY: Form = Form::Map(&[
    may("description", Form::Description),
    may("alertWhenNoData", Form::Truth),
    may("alertWhenResolved", Form::Truth),
    may("alertWhenBreaching", Form::Truth),
    must(
        "conditions",
        Form::List(&inline!("conditionRef", "AlertCondition", CONDITION)),
    ),
    must(
        "notificationTargets",
        Form::List(&inline!("targetRef", "AlertNotificationTarget", TARGET)),
    ),
]);

const OBJECTIVE: Form = Form::Map(&[
    may("displayName", Form::Text),
    may("op", OPERATOR),
    may("value", Form::Number),
    may("target", Form::Number),
    may("targetPercent", Form::Number),
    may("timeSliceTarget", Form::Number),
    may("timeSliceWindow", Form::Slice),
    may("indicator", INDICATOR),
    may("indicatorRef", Form::Label),
    may("compositeWeight", Form::Number),
]);

const SLO: Form = Form::Map(&[
    may("description", Form::Description),
    must("service", Form::Text),
    may("indicator", INDICATOR),
    may("indicatorRef", Form::Label),
    may(
        "timeWindow",
        Form::List(&Form::Map(&[
            must("duration", Form::Shorthand),
            may("isRolling", Form::Truth),
            may(
                "calendar",
                Form::Map(&[must("startTime", Form::Civil), must("timeZone", Form::Zone)]),
            ),
        ])),
    ),
    must(
        "budgetingMethod",
        Form::Words(&["Occurrences", "Timeslices", "RatioTimeslices"]),
    ),
    must("objectives", Form::List(&OBJECTIVE)),
    may(
        "alertPolicies",
        Form::List(&inline!("alertPolicyRef", "AlertPolicy", POLICY)),
    ),
]);

const SOURCE: Form = Form::Map(&[
    may("description", Form::Description),
    must("type", Form::Text),
    must("connectionDetails", Form::Anything),
]);

const SERVICE: Form = Form::Map(&[may("description", Form::Description)]);

/// Every kind, and the form of its `spec`.
pub(super) const KINDS: [(&str, Form); 7] = [
    ("Service", SERVICE),
    ("SLI", SLI),
    ("SLO", SLO),
    ("DataSource", SOURCE),
    ("AlertPolicy", POLICY),
    ("AlertCondition", CONDITION),
    ("AlertNotificationTarget", TARGET),
];

/// What every object has beside its `spec`.
pub(super) const OBJECT: [(&str, Form); 3] = [
    ("apiVersion", Form::Words(&[super::VERSION])),
    ("kind", Form::Text),
    ("metadata", METADATA),
];
