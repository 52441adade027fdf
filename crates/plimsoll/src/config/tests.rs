//! What holds for the configuration as a whole. What is said about a wrong file is in `tests/it/testdata/config`.

use gateway::plan::{LimitsPlan, UpstreamPlan};
use plimsoll_policy::{Dice, HealthConfig, HedgeConfig, SeededDice};

use super::raw::listener::Limits;
use super::shape::{FieldShape, StanzaShape};
use super::tree::Kind;
use super::value::Stanza;
use super::*;

const SMALL: &str = "
listeners: [{ name: ingress, listen: 127.0.0.1:0 }]
upstreams: [{ name: app, endpoints: [http://127.0.0.1:3000] }]
";

fn read(text: &str) -> Result<Config, String> {
    Config::read("test.yaml", text.as_bytes()).map_err(|problems| problems.to_string())
}

fn fields(stanza: &StanzaShape) -> Vec<FieldShape> {
    let inner = stanza
        .fields
        .iter()
        .filter_map(|field| field.shape.stanza())
        .flat_map(fields);
    stanza.fields.iter().cloned().chain(inner).collect()
}

#[test]
fn defaults_are_those_of_the_plan_and_the_policies() {
    let config = read(SMALL).unwrap();
    let endpoints = config.plan.upstreams[0].endpoints.clone();
    let expected = Plan::in_front_of(
        "127.0.0.1:0".parse().unwrap(),
        UpstreamPlan::new("app", endpoints),
    );
    assert_eq!(format!("{:#?}", config.plan), format!("{expected:#?}"));

    let mut reader = Reader::default();
    assert!(Limits::read(&Node::empty_map(Mark::default()), &mut reader).is_some());
    assert_eq!(config.plan.listeners[0].limits, LimitsPlan::default());

    let on = SMALL.replace(":3000]", ":3000], health: on");
    let health = read(&on).unwrap().plan.upstreams[0].health.clone().unwrap();
    assert_eq!(format!("{health:?}"), format!("{:?}", HealthConfig::default()));

    let on = SMALL.replace(":0 }", ":0, routes: [{ name: a, hedge: on }] }");
    let hedge = read(&on).unwrap().plan.listeners[0].routes[0].hedge;
    assert_eq!(hedge, Some(HedgeConfig::default()));
}

#[test]
fn the_margin_for_the_next_hop_is_the_routes_own() {
    let routes = "routes: [{ name: near, path: /n }, { name: far, path: /f, deadline: { margin: 80ms } }]";
    let config = read(&SMALL.replace(":0 }", &format!(":0, {routes} }}"))).unwrap();
    let margins = config.plan.listeners[0].routes.iter().map(|r| r.deadline.margin);
    assert_eq!(
        margins.collect::<Vec<_>>(),
        [Duration::from_millis(5), Duration::from_millis(80)]
    );
}

#[test]
fn health_can_be_asked_by_grpc() {
    for (health, grpc) in [
        ("on", None),
        ("{ grpc: off }", None),
        ("{ grpc: on }", Some("")),
        ("{ grpc: { service: shop.Orders } }", Some("shop.Orders")),
    ] {
        let text = SMALL.replace(":3000]", &format!(":3000], protocol: http2, health: {health}"));
        let read = read(&text).unwrap().plan.upstreams[0].health.clone().unwrap();
        assert_eq!(read.grpc.as_deref(), grpc, "{health}");
    }
}

#[test]
fn declarations_can_be_read() {
    // Every default and bound, and every key that may be left out, in one file with nothing in comments.
    let full = template::template(true);
    let bare = full.lines().filter_map(|line| {
        let body = line.trim_start();
        let Some(rest) = body.strip_prefix("# ") else {
            return Some(line.to_owned());
        };
        let code = rest.trim_start();
        let key = code.split(':').next().unwrap_or_default();
        let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b"_- ".contains(&b));
        let prose = code.starts_with('#') || !is_key || code.ends_with('.') || code.contains(" (");
        (!prose).then(|| format!("{}{rest}", &line[..line.len() - body.len()]))
    });
    let bare = bare.collect::<Vec<_>>().join("\n");
    let mut reader = Reader::default();
    let node = tree::parse(&bare, Bounds::CONFIG, &mut reader.problems).expect("it is YAML");
    let root = TopLevel::read(&node, &mut reader);
    assert_eq!(reader.problems, [], "{bare}");
    assert!(root.is_some());
    // Each key stands in the file as often as it is declared.
    for field in fields(&TopLevel::stanza()) {
        assert!(
            bare.contains(&format!("{}:", field.name)),
            "{} is not in\n{bare}",
            field.name
        );
    }
}

#[test]
fn docs_are_sentences_and_names_are_unique() {
    // One that stands in two places is the same in both.
    fn stanzas(stanza: &StanzaShape, into: &mut Vec<(String, String)>) {
        into.push((stanza.name.to_owned(), format!("{stanza:?}")));
        for field in &stanza.fields {
            assert!(field.doc.ends_with('.'), "{}.{}", stanza.name, field.name);
        }
        for inner in stanza.fields.iter().filter_map(|field| field.shape.stanza()) {
            stanzas(inner, into);
        }
    }
    let mut names = Vec::new();
    stanzas(&TopLevel::stanza(), &mut names);
    names.sort();
    names.dedup();
    let all = names.len();
    names.dedup_by(|(a, _), (b, _)| a == b);
    assert_eq!(names.len(), all);
}

#[test]
fn what_init_writes_is_right_and_says_nothing_but_defaults() {
    let (short, full) = (
        read(&template::template(false)).unwrap(),
        read(&template::template(true)).unwrap(),
    );
    assert_eq!(short.changes(&full), Vec::<String>::new());
}

#[test]
fn an_effective_configuration_reads_as_itself() {
    fn flow(node: &Node) -> Value {
        match &node.kind {
            Kind::Null => Value::Null,
            Kind::Scalar { text, .. } => text.clone().into(),
            Kind::List(items) => items.iter().map(flow).collect(),
            Kind::Map(entries) => entries
                .iter()
                .map(|(key, value)| (key.text.clone(), flow(value)))
                .collect(),
        }
    }
    let config = read(SMALL).unwrap();
    let again = read(&flow(&config.effective).to_string()).unwrap();
    assert_eq!(config.changes(&again), Vec::<String>::new());
}

#[test]
fn flags_are_checked_in_the_same_words() {
    let config = Config::in_front_of("http://127.0.0.1:3000", Some("127.0.0.1:1"), None).unwrap();
    assert_eq!(config.plan.listeners[0].routes[0].name.as_ref(), "default");
    let problems = Config::in_front_of("localhost:3000", Some("8080"), Some("0.0.0.0:9900")).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "--admin: `0.0.0.0:9900` can be reached from outside, and nobody has to show a token; right would be a \
         loopback address, or a `token_file`, `token_env` or `tokens` beside it\n\
         --listen: `8080` is not an address to listen on; right would be `127.0.0.1:8080`, `[::]:8080` or \
         `unix:/run/plimsoll.sock`\n\
         --upstream: `localhost:3000` is not an endpoint; right would be `http://127.0.0.1:3000`, \
         `https://api.example.com` or `unix:/run/app.sock`"
    );
}

#[test]
fn changes_are_those_in_effect() {
    let old = "
listeners: [{ name: ingress, listen: 127.0.0.1:0, routes: [{ name: a, path: /a }, { name: b, path: /b, retry: off }] }]
upstreams: [{ name: app, endpoints: [http://127.0.0.1:3000], idle_time: 30s }]
";
    let new = "
listeners: [{ name: ingress, listen: 127.0.0.1:0, routes: [{ name: b, path: /b }, { name: a, path: /a, retry: { retries_max: 3 }, body: 1MiB }] }]
upstreams: [{ name: app, endpoints: [http://127.0.0.1:3000, http://127.0.0.1:3001], idle_time: 30s }]
drain_max: 60s
";
    let mut changes = read(old).unwrap().changes(&read(new).unwrap());
    let retry = changes
        .iter()
        .position(|line| line.starts_with("~ listeners.ingress.routes.b.retry: off -> {"));
    assert!(retry.map(|at| changes.remove(at)).is_some(), "{changes:#?}");
    assert_eq!(
        changes,
        [
            "~ listeners.ingress.routes.a.retry.retries_max: 2 -> 3",
            "+ listeners.ingress.routes.a.body: 1MiB",
            "~ upstreams.app.endpoints: [http://127.0.0.1:3000] -> [http://127.0.0.1:3000, http://127.0.0.1:3001]",
            "~ drain_max: 30s -> 1m",
        ]
    );
    assert_eq!(
        read(new).unwrap().changes(&read(new).unwrap()),
        Vec::<String>::new()
    );
}

#[test]
fn what_is_read_at_the_start_only_is_told_apart() {
    let old = read(SMALL).unwrap();
    let new = SMALL.to_owned()
        + "
admin: { listen: 127.0.0.1:9901, token_env: TOKEN }
telemetry: { otlp: { endpoint: http://127.0.0.1:4318 }, log: { level: debug } }
cores: 2
drain_max: 10s
observe: { slow: 2s }
";
    let new = read(&new).unwrap();
    assert_eq!(
        old.at_next_start(&new),
        ["admin.listen", "telemetry.log.level", "telemetry.otlp", "cores"]
    );
    assert_eq!(
        new.at_next_start(&new.clone()),
        [""; 0],
        "what did not change does not wait"
    );
    let mut by_flag = old.clone();
    by_flag.set_cores(1);
    assert!(
        !by_flag.at_next_start(&new).contains(&"cores".to_owned()),
        "the flag wins at the next start, too"
    );
}

/// A key of the top level is either applied by a reload, most of them in the plan, or waits for the next start.
#[test]
fn every_key_is_applied_or_waits() {
    let applied = [
        ("listeners", SMALL.replace(":0 }", ":1 }")),
        ("upstreams", SMALL.replace(":3000", ":3001")),
        ("callers", SMALL.to_owned() + "callers: { tenant_header: x }"),
        ("observe", SMALL.to_owned() + "observe: { slow: 2s }"),
        (
            "objectives",
            SMALL.to_owned() + "objectives: [{ name: all, target: 99% }]",
        ),
        ("kpis", SMALL.to_owned() + "kpis: [{ name: orders }]"),
        ("alerts", SMALL.to_owned() + "alerts: { labels: [team=pay] }"),
        (
            "budget_policy",
            SMALL.to_owned() + "budget_policy: { careful: 60% }",
        ),
        ("changes", SMALL.to_owned() + "changes: { steps: [5%, 50%] }"),
        ("limits", SMALL.to_owned() + "limits: { memory: 1GiB }"),
        ("drain_max", SMALL.to_owned() + "drain_max: 1s"),
        ("drain_idle", SMALL.to_owned() + "drain_idle: 1s"),
        ("upgrade_max", SMALL.to_owned() + "upgrade_max: 1m"),
    ];
    let plan = |text: &str| {
        let Config {
            plan,
            objectives,
            watched,
            alerts,
            ladder,
            changes,
            upgrade_max,
            ..
        } = read(text).unwrap();
        format!("{plan:?} {objectives:?} {watched:?} {alerts:?} {ladder:?} {changes:?} {upgrade_max:?}")
    };
    for (key, text) in &applied {
        assert_ne!(plan(SMALL), plan(text), "{key}");
        assert_eq!(read(SMALL).unwrap().at_next_start(&read(text).unwrap()), [""; 0]);
    }
    let mut known: Vec<_> = applied.iter().map(|(key, _)| *key).collect();
    known.extend(diff::AT_START);
    // What they are is applied, and where they are served waits: see the next test.
    known.push("flags");
    let keys: Vec<_> = TopLevel::stanza().fields.iter().map(|field| field.name).collect();
    known.sort_by_key(|name| keys.iter().position(|key| key == name));
    assert_eq!(known, keys);
}

#[test]
fn flags_are_applied_and_where_they_are_served_waits() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("flags.yaml");
    let write = |default: &str| {
        let text = format!(
            "flags: {{ new-tax: {{ state: ENABLED, variants: {{ a: 1, b: 2 }}, defaultVariant: {default} }} }}"
        );
        std::fs::write(&file, text).unwrap();
    };
    let with = |more: &str| {
        let text = SMALL.to_owned() + &format!("flags: {{ file: '{}'{more} }}", file.display());
        read(&text).unwrap()
    };
    write("a");
    let before = with("");
    assert_eq!(read(SMALL).unwrap().at_next_start(&before), ["flags.file"]);
    write("b");
    let after = with("");
    assert_eq!(before.changes(&after), ["~ the flag new-tax"]);
    assert_eq!(before.at_next_start(&after), [""; 0]);
    let elsewhere = with(", listen: ['127.0.0.1:0']");
    assert_eq!(after.at_next_start(&elsewhere), ["flags.listen"]);
    // A process that is started does without flags that nobody can read.
    write("c");
    let text = SMALL.to_owned() + &format!("flags: {{ file: '{}' }}", file.display());
    assert!(read(&text).is_err());
    let started = broken::read("test.yaml", text.as_bytes()).unwrap();
    assert!(
        started.flags.is_none() && started.broken[0].contains("/flags/new-tax/defaultVariant"),
        "{:?}",
        started.broken
    );
}

/// Bytes, words of YAML and pieces of a right file, in any order: whatever is read, nothing panics.
#[test]
fn reading_never_panics() {
    const WORDS: [&str; 22] = [
        "- ", ": ", "{", "}", "[", "]", "\n", "  ", "\t", "\"", "'", "|\n", ">", "&a ", "*a", "!t ", "? ",
        "---\n", "# ", "%", "\u{feff}", "é",
    ];
    let full = template::template(true).replace("# ", "");
    let mut dice = SeededDice::new(8);
    for _ in 0..3_000 {
        let mut text = full.clone().into_bytes();
        let start = dice.below(text.len() as u64) as usize;
        let length = 1 + dice.below(400) as usize;
        text = text[start..text.len().min(start + length)].to_vec();
        for _ in 0..dice.below(8) {
            let at = dice.below(text.len() as u64 + 1) as usize;
            match dice.below(3) {
                0 => text.insert(at, dice.below(256) as u8),
                1 => drop(text.splice(at..at, WORDS[dice.below(WORDS.len() as u64) as usize].bytes())),
                _ => drop(text.splice(at..text.len().min(at + 5), [])),
            }
        }
        drop(Config::read("fuzz", &text));
        drop(openapi::convert("fuzz", &text));
    }
}

#[test]
fn operations_become_routes() {
    let description = r##"
openapi: 3.1.0
servers: [{ url: https://api.example.com/v1/ }]
paths:
  /orders:
    parameters: [{ $ref: "#/components/parameters/Key" }]
    post: { operationId: placeOrder }
    get: {}
  /orders/{order.id}:
    get: { operationId: get_order }
    delete: { operationId: Orders.deleteV2 }
components:
  parameters:
    Key: { name: Idempotency-Key, in: header }
"##;
    let text = openapi::convert("shop.yaml", description.as_bytes()).unwrap();
    let config = read(&text).unwrap();
    let routes = config.plan.listeners[0].routes.iter();
    let routes: Vec<_> = routes
        .map(|route| {
            let keyed = route.retry.as_ref().is_some_and(|retry| retry.idempotent);
            format!("{} {} {} {keyed}", route.name, route.methods[0], route.path)
        })
        .collect();
    assert_eq!(
        routes,
        [
            "place-order POST /v1/orders true",
            "get-v1-orders GET /v1/orders false",
            "get-order GET /v1/orders/{order_id} false",
            "orders-delete-v2 DELETE /v1/orders/{order_id} false",
        ]
    );
}

#[test]
fn descriptions_that_clash_are_refused() {
    let description = r#"{
  "openapi": "3.0.3",
  "paths": {
    "/orders/{id}": { "get": { "operationId": "getOrder" } },
    "/orders/{key}": { "put": { "operationId": "get-order" } },
    "/files/{name}.json": { "get": {} }
  }
}"#;
    let problems = openapi::convert("shop.json", description.as_bytes()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "shop.json:5:24: paths: the operation at 4:23 is called `get-order` too; right would be an `operationId` \
         of its own for each\n\
         shop.json:5:24: paths: `/orders/{key}` and `/orders/{id}` at 4:23 are the same path; right would be the \
         same names for the same parameters\n\
         shop.json:6:5: paths: `/files/{name}.json` has a parameter that is not a whole segment; right would be \
         `/orders/{id}`; write this route by hand"
    );
    let problems = openapi::convert("old.yaml", b"swagger: \"2.0\"\npaths: {}\n").unwrap_err();
    assert!(
        problems
            .to_string()
            .starts_with("old.yaml:1:1: this does not describe an API;"),
        "{problems}"
    );
}

#[test]
fn another_kind_of_file_is_refused_in_few_words() {
    let text = (0..10_000)
        .map(|key| format!("key{key}: 1\n"))
        .collect::<Vec<_>>()
        .concat();
    let problems = Config::read("test.yaml", text.as_bytes()).unwrap_err();
    // A hundred keys by name, the others as one, and the two that are required.
    assert_eq!(problems.count(), 103);
    assert!(problems.to_string().contains("9900 more keys are not known here"));
}

#[test]
fn state_is_kept_where_a_supervisor_wants_it_or_beside_the_configuration() {
    let kept = |state: &str, file: Option<&str>, given: Option<&str>| {
        let config = read(&format!("{SMALL}state: {{ file: {state} }}")).unwrap();
        let place = config.state_place(file.map(Path::new), given.map(Path::new));
        place.map(|place| place.to_string())
    };
    let (file, given) = (Some("/etc/plimsoll/orders.yaml"), Some("/var/lib/plimsoll"));
    let at = |path: &str| Some(path.to_owned());
    assert_eq!(kept("auto", file, None), at("/etc/plimsoll/orders.state"));
    assert_eq!(kept("auto", file, given), at("/var/lib/plimsoll/orders.state"));
    assert_eq!(kept("auto", Some("plimsoll.yaml"), None), at("plimsoll.state"));
    assert_eq!(kept("kept/here", file, given), at("/var/lib/plimsoll/kept/here"));
    assert_eq!(kept("/srv/s", file, given), at("/srv/s"));
    assert_eq!(kept("off", file, given), None);
    for nowhere in [Some("-"), None] {
        assert_eq!(kept("auto", nowhere, given), None);
    }
}

#[test]
fn state_may_be_kept_in_a_database_and_then_nowhere_else() {
    let state = |text: &str| read(&format!("{SMALL}state: {{ {text} }}"));
    let address = "database: 'postgres://plimsoll@db.example/state'";
    let config = state(&format!("{address}, password_env: PG")).unwrap();
    let place = config.state_place(None, None).unwrap();
    assert_eq!(place.to_string(), "postgres://db.example:5432/state");
    for (text, path, wrong) in [
        (
            "database: 'postgres://ada:secret@db.example/state'",
            "state.database",
            "there is a password in it",
        ),
        (
            "database: 'postgres://db.example/state?sslmode=prefer'",
            "state.database",
            "`require`",
        ),
        (&format!("{address}, file: kept"), "state.file", "one place"),
        (
            &format!("{address}, password_env: A, password_file: /dev/null"),
            "state.password_env",
            "`password_file` is there too",
        ),
        ("password_env: A", "state.password_env", "no `database`"),
        ("tls: { ca: /dev/null }", "state.tls", "no `database`"),
        (
            &format!("{address}, tls: {{ server_name: a }}"),
            "state.tls.server_name",
            "called something else",
        ),
    ] {
        let refused = state(text).unwrap_err();
        assert!(
            refused.contains(path) && refused.contains(wrong),
            "{text}: {refused}"
        );
        assert!(!refused.contains("secret"), "{refused}");
    }
}

#[test]
fn at_a_start_what_is_judged_and_wrong_is_left_out_and_said() {
    let start = |judged: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("{SMALL}\n{judged}")).unwrap();
        let strict = Config::load(file.path()).map_err(|error| error.to_string());
        let config = Config::load_to_start(file.path()).map_err(|error| error.to_string());
        (file, strict, config)
    };
    let (file, strict, config) = start(
        "objectives:
- { name: gone, target: 99%, routes: [nowhere] }
- { name: good, target: 99% }
- { name: odd, target: 400%, windw: 3d }
- { name: of-both, composite: [{ objective: good }, { objective: gone }] }
- { name: of-one, composite: [{ objective: good }] }
kpis: [{ name: no, routes: [nowhere] }]",
    );
    let (refused, config) = (strict.unwrap_err(), config.unwrap());
    let names: Vec<&str> = config.objectives.iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["good", "of-one"]);
    let said = config
        .broken
        .join("\n")
        .replace(&file.path().display().to_string(), "FILE");
    for wrong in [
        "objectives.gone.routes[0]: there is no route",
        "objectives.odd.target",
        "objectives.odd.windw",
        "kpis.no",
        "objectives.of-both.composite[1]",
    ] {
        assert!(said.contains(wrong), "{wrong} is not in: {said}");
    }
    assert!(refused.contains("objectives.gone"), "{refused}");
    assert!(said.starts_with("FILE:"), "{said}");

    // What else is wrong is refused, with all that is wrong; and what is right says nothing.
    let (_, _, mixed) =
        start("objectives: [{ name: gone, target: 99%, routes: [nowhere] }]\ndrain_max: never");
    let mixed = mixed.unwrap_err();
    assert!(
        mixed.contains("objectives.gone") && mixed.contains("drain_max"),
        "{mixed}"
    );
    let (_, _, list) = start("objectives: 3");
    assert!(list.is_err());
    let (_, _, right) = start("objectives: [{ name: good, target: 99% }]");
    assert_eq!(right.unwrap().broken, [""; 0]);
}
