//! The API as an OpenAPI 3.1 document, made of the same list that answers.

use serde_json::{Map, Value, json};

use super::{Ask, Gives, ROOT, ROUTES, Reply, Route, good, schemas};

#[expect(clippy::unnecessary_wraps, reason = "like all that answer")]
pub(super) fn document(_: &Ask<'_>) -> Result<Reply, Reply> {
    Ok(good(whole()))
}

/// What may be answered to anything that is asked, beside what is wanted.
const PROBLEMS: [(&str, &str); 5] = [
    ("400", "The query or the body cannot be read"),
    ("401", "A token has to be shown"),
    ("403", "The token may not do that"),
    ("404", "There is nothing of this name"),
    ("429", "Too many wrong tokens came from this address"),
];

/// And to what has a body.
const OF_BODIES: [(&str, &str); 4] = [
    ("409", "There are too many already"),
    ("413", "The body is too long"),
    ("415", "The body is not JSON"),
    ("422", "The body does not say what it has to"),
];

fn whole() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths
            .entry(route.path.replace("{}", "{name}"))
            .or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation(route);
        if route.path.contains("{}") {
            path["parameters"] = json!([{
                "name": "name",
                "in": "path",
                "required": true,
                "schema": { "type": "string", "minLength": 1 },
            }]);
        }
    }
    // The root has no segment of its own.
    let root = paths.remove("").unwrap_or_default();
    paths.insert("/".to_owned(), root);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Plimsoll",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Objectives, alerts, incidents, silences and corrections of a running Plimsoll.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": ROOT }],
        "security": [{ "token": [] }, {}],
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Problem": schemas::problem() },
        },
    })
}

/// What programs that are made of the document call it.
fn id(route: &Route) -> String {
    let path = route.path.trim_start_matches('/').replace("{}", "one");
    let id = format!("{} {path}", route.method.as_str().to_ascii_lowercase());
    id.trim().replace([' ', '/', '.'], "-")
}

/// Where names come from: each thing that is made leads to what may be done with it, and each list to its first.
fn links(route: &Route) -> Value {
    let made = matches!(route.gives, Gives::Json(201, _));
    let list = route.path.trim_start_matches('/');
    let name = if made {
        "$response.body#/id".to_owned()
    } else {
        let name = if list == "objectives" { "name" } else { "id" };
        format!("$response.body#/{list}/0/{name}")
    };
    let below = ROUTES.iter().filter(|below| {
        let open = below.path.strip_prefix(route.path);
        !list.is_empty()
            && (made || *route.method == http::Method::GET)
            && open.is_some_and(|open| open.starts_with("/{}"))
    });
    let links = below.map(|below| {
        let link = json!({ "operationId": id(below), "parameters": { "name": name } });
        (id(below), link)
    });
    Value::Object(links.collect())
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": id(route),
        "summary": route.about,
        "description": format!("Takes the role {}.", route.role.word()),
        "responses": responses(route),
    });
    if let Some(takes) = route.takes {
        let schema = takes();
        operation["requestBody"] = json!({
            "required": schema.get("required").is_some(),
            "content": { "application/json": { "schema": schema } },
        });
    }
    let query = match route.path {
        "/stream" => {
            json!([{ "name": "objective", "in": "query", "schema": { "type": "string", "minLength": 1 } }])
        }
        "/objectives/{}/what-if" => json!([{
            "name": "target",
            "in": "query",
            "required": true,
            "schema": { "type": "string", "pattern": "^(6[0-9]|[7-9][0-9])(\\.[0-9]{1,4})?%$" },
        }]),
        path if is_list(path) && *route.method == http::Method::GET => json!([{
            "name": "limit",
            "in": "query",
            "schema": { "type": "integer", "minimum": 1, "maximum": 1_000, "default": 100 },
        }]),
        _ => return operation,
    };
    operation["parameters"] = query;
    operation
}

/// Whether it is one of those of which the latest are wanted.
fn is_list(path: &str) -> bool {
    matches!(
        path,
        "/alerts"
            | "/changes"
            | "/freezes"
            | "/glass"
            | "/incidents"
            | "/silences"
            | "/corrections"
            | "/audit"
    )
}

fn responses(route: &Route) -> Value {
    let of_body = route.takes.map_or(&[][..], |_| &OF_BODIES);
    let mut responses: Map<String, Value> = PROBLEMS
        .iter()
        .chain(of_body)
        .map(|(status, about)| {
            let content =
                json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
            ((*status).to_owned(), json!({ "description": about, "content": content }))
        })
        .collect();
    let (status, content) = match route.gives {
        Gives::Json(status, schema) => (status, json!({ "application/json": { "schema": schema() } })),
        Gives::Markdown => (
            200,
            json!({ "text/markdown": { "schema": { "type": "string" } } }),
        ),
        Gives::Events => (
            200,
            json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        ),
    };
    responses.insert(
        status.to_string(),
        json!({ "description": "What was asked for", "content": content, "links": links(route) }),
    );
    Value::Object(responses)
}
