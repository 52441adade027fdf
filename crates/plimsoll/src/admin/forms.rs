//! Forms of our own pages: what the API is told as JSON, as a browser without scripts sends it.
//!
//! A form that is sent to `/X` means the API's `/X`, and leads back to the page that it was on. Fields of its own are
//! `csrf`, which a session's forms carry, and `back`.

use form_urlencoded::Serializer;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use crate::access::Role;
use crate::api;

/// What a form sends.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

/// Fields of a form: no page of ours has as many.
const FIELDS_MAX: usize = 32;

impl Form {
    pub(super) fn read(body: &[u8]) -> Self {
        Self(
            form_urlencoded::parse(body)
                .into_owned()
                .take(FIELDS_MAX)
                .collect(),
        )
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let field = self.0.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The page to go back to, which is one of ours.
    pub(super) fn back(&self) -> &str {
        self.field("back").filter(|path| is_local(path)).unwrap_or("/")
    }

    /// As the API is told.
    pub(super) fn to_json(&self) -> Value {
        let fields = self.0.iter().filter(|(name, _)| name != "csrf" && name != "back");
        let fields = fields.map(|(name, value)| {
            let number = value.parse::<u64>().ok().filter(|_| name == "minutes");
            (
                name.clone(),
                number.map_or_else(|| value.clone().into(), Value::from),
            )
        });
        Value::Object(fields.collect::<Map<_, _>>())
    }
}

/// Whether a body is a form.
pub(super) fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind == Some("application/x-www-form-urlencoded")
}

/// Whether something is sent to by forms, be it the way in.
pub(super) fn takes_body(method: &Method, path: &str) -> bool {
    *method == Method::POST && (matches!(path, "/login" | "/logout") || meant(method, path).is_some())
}

/// The role that a form takes.
pub(super) fn role(method: &Method, path: &str) -> Option<Role> {
    api::role(method, &meant(method, path)?)
}

/// The path of the API that is meant.
pub(super) fn meant(method: &Method, path: &str) -> Option<String> {
    let meant = format!("{}{path}", api::ROOT);
    (*method == Method::POST && api::role(method, &meant).is_some()).then_some(meant)
}

/// Whether it is a path on this port: what a browser takes for another host's is none, and neither is what it would
/// not send as it stands.
pub(super) fn is_local(path: &str) -> bool {
    let mut bytes = path.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
}

/// Fields as a form or a query has them.
pub(super) fn written(fields: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_what_the_api_is_told() {
        let form =
            Form::read(b"objective=check%2A&minutes=10&reason=we+know&csrf=x&back=%2Fincidents%3Fa%3Db");
        let told = serde_json::json!({ "objective": "check*", "minutes": 10, "reason": "we know" });
        assert_eq!(
            (form.to_json(), form.back(), form.field("csrf")),
            (told, "/incidents?a=b", Some("x"))
        );
        assert_eq!(
            Form::read(b"minutes=soon&text=10").to_json(),
            serde_json::json!({ "minutes": "soon", "text": "10" })
        );
        assert_eq!(
            meant(&Method::POST, "/silences").as_deref(),
            Some("/api/v1/silences")
        );
        for (method, path) in [
            (Method::POST, "/reload"),
            (Method::GET, "/silences"),
            (Method::POST, "/incidents/a/b/acknowledge"),
        ] {
            assert_eq!(meant(&method, path), None, "{method} {path}");
        }
    }

    #[test]
    fn nobody_is_led_astray() {
        for path in ["/", "/incidents/a?text", "/a//b"] {
            assert!(is_local(path), "{path}");
        }
        for path in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nSet-Cookie: b",
            "/\t/evil.example",
            "a",
            "/ü",
        ] {
            assert!(!is_local(path), "{path:?}");
            assert_eq!(Form(vec![("back".to_owned(), path.to_owned())]).back(), "/");
        }
    }
}
