//! Flags: asked for by the official providers of OpenFeature, ramped in front of a service that has one in its process,
//! and killed.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::world::{Plimsoll, Process, busy, caller, curl, curl_until, peer};

/// A place for the definitions, and the address that flags are served at.
struct Flags {
    directory: tempfile::TempDir,
    port: u16,
}

impl Flags {
    fn new() -> Self {
        let flags = Self {
            directory: tempfile::tempdir().unwrap(),
            // Another may take it before it is listened on; the test fails then, and says so.
            port: std::net::TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .port(),
        };
        flags.write(&json!({ "new-tax": on_or_off("off") }));
        flags
    }

    fn write(&self, flags: &Value) {
        let file = self.directory.path().join("flags.json");
        std::fs::write(file, json!({ "flags": flags }).to_string()).unwrap();
    }

    /// In the generation of the provider for Python, which evaluates in its process.
    fn configuration(&self, upstream: &str) -> String {
        format!(
            "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all, path: '/{{*rest}}', upstream: orders }}] }}]
upstreams: [{{ name: orders, endpoints: ['http://{upstream}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
flags: {{ file: '{}', bucketing: v3, listen: ['127.0.0.1:{}'], key: 'header:x-user' }}
objectives: [{{ name: answered, target: 90%, runbook: 'https://wiki.example/orders' }}]
changes: {{ steps: [10%, 50%], probation: 2s, hold_max: 60s }}
",
            self.directory.path().join("flags.json").display(),
            self.port
        )
    }

    fn start(&self, upstream: &str) -> Plimsoll {
        Plimsoll::configured(&self.configuration(upstream))
    }
}

fn on_or_off(default: &str) -> Value {
    json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": default })
}

fn flag(plimsoll: &Plimsoll, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command
        .args(["flag", args[0], "--admin", &plimsoll.admin_url("")])
        .args(&args[1..])
        .env_remove("GITHUB_STEP_SUMMARY");
    command.output().unwrap()
}

#[track_caller]
fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&*output.stdout, &*output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// What a provider says to these lines.
fn ask(flags: &Flags, mode: &str, lines: &[Value]) -> Vec<Value> {
    let mut command = peer("flags.py");
    command.args([mode, "127.0.0.1", &flags.port.to_string()]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in lines {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{mode}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Flags of all kinds.
fn all_kinds() -> Value {
    json!({
        "new-tax": on_or_off("on"),
        "greeting": {
            "state": "ENABLED", "variants": { "hi": "hello", "yo": "yo" }, "defaultVariant": "hi",
            "targeting": { "if": [{ "==": [{ "var": "tier" }, "gold"] }, "yo", null] },
        },
        "limit": { "state": "ENABLED", "variants": { "few": 10, "many": 1000 }, "defaultVariant": "few" },
        "share": { "state": "ENABLED", "variants": { "half": 0.5 }, "defaultVariant": "half" },
        "theme": { "state": "ENABLED", "variants": { "dark": { "ink": "white" } }, "defaultVariant": "dark" },
        "off": { "state": "DISABLED", "variants": { "on": true }, "defaultVariant": "on" },
        "none": { "state": "ENABLED", "variants": { "on": true }, "defaultVariant": null },
    })
}

/// What is asked for, with the code's default and more of the context; and value, variant, reason and error that are
/// right. `null` is what evaluators spell in their own ways.
fn cases() -> Vec<[Value; 8]> {
    let cases = json!([
        ["new-tax", "boolean", false, {}, true, "on", "STATIC", null],
        ["greeting", "string", "-", { "tier": "gold" }, "yo", "yo", "TARGETING_MATCH", null],
        ["greeting", "string", "-", {}, "hello", "hi", "DEFAULT", null],
        ["limit", "integer", 1, {}, 10, "few", "STATIC", null],
        ["share", "float", 0.1, {}, 0.5, "half", "STATIC", null],
        ["theme", "object", {}, {}, { "ink": "white" }, "dark", "STATIC", null],
        // The code's own default is what they get where there is no value.
        ["off", "boolean", true, {}, true, null, "DISABLED", null],
        ["none", "boolean", true, {}, true, null, "DEFAULT", null],
        ["nothing", "boolean", true, {}, true, null, null, "FLAG_NOT_FOUND"],
        ["limit", "string", "-", {}, "-", null, null, "TYPE_MISMATCH"],
    ]);
    serde_json::from_value(cases).unwrap()
}

#[test]
fn official_providers_find_what_is_served() {
    let flags = Flags::new();
    flags.write(&all_kinds());
    let _plimsoll = flags.start("127.0.0.1:9");
    let line = |[key, kind, default, context, ..]: &[Value; 8]| {
        let mut context = context.clone();
        context["targetingKey"] = json!("ada");
        json!({ "flag": key, "type": kind, "default": default, "context": context })
    };
    let lines: Vec<Value> = cases().iter().map(line).collect();
    for mode in ["rpc", "in-process", "ofrep"] {
        let answers = ask(&flags, mode, &lines);
        assert_eq!(answers.len(), lines.len());
        for ([key, .., value, variant, reason, error], found) in cases().iter().zip(&answers) {
            let is = |field: &str, right: &Value| right.is_null() || found[field] == *right;
            assert!(
                found["value"] == *value
                    && is("variant", variant)
                    && is("reason", reason)
                    && is("error_code", error),
                "{mode}, {key}: {found}"
            );
        }
    }
}

/// A service that asks this Plimsoll for the flag, and is behind it.
fn flagged(flags: &Flags, more: &[&str]) -> (Process, String) {
    let mut command = peer("flagged.py");
    command.args(["127.0.0.1", &flags.port.to_string()]).args(more);
    let mut process = Process::start(&mut command);
    let address = process.wait_for("address", |line| Some(line.to_owned()));
    (process, address)
}

/// In front of a service that waits for this one's flags.
fn in_front(flags: &Flags, more: &[&str]) -> (Plimsoll, Process) {
    let plimsoll = flags.start("127.0.0.1:9");
    let (service, address) = flagged(flags, more);
    plimsoll.rewrite(&flags.configuration(&address));
    let answer = curl(&["-X", "POST", &plimsoll.admin_url("/reload?text")]);
    assert!(answer.contains("applied"), "{answer}");
    (plimsoll, service)
}

fn got(mut users: Process) -> std::collections::BTreeMap<String, u64> {
    users.nudge();
    users.wait_for("a count", |line| serde_json::from_str(line).ok())
}

#[test]
fn a_setting_that_fails_its_users_is_taken_back() {
    let _busy = busy();
    let flags = Flags::new();
    let (plimsoll, _service) = in_front(&flags, &["--fails"]);
    let users = caller("users.py", &[&plimsoll.ingress, "400"]);
    let ramp = ["ramp", "new-tax", "--variant", "on", "--wait"];
    let (code, text) = said(&flag(&plimsoll, &ramp));
    assert_eq!(code, Some(1), "{text}");
    for line in [
        "flag:new-tax-1 gets 10 % (step 1 of 2)",
        "flag:new-tax-1 is rolled back, because it is worse than what it was to replace (failures)",
    ] {
        assert!(text.contains(line), "{line} is not in: {text}");
    }
    // Whoever had it has it no more.
    curl_until(&["-H", "x-user: 1", &plimsoll.url("/")], |answer| {
        answer.ends_with("off")
    });
    let counts = got(users);
    let failed = counts.get("500 on").copied().unwrap_or(0);
    assert!(
        failed > 0 && failed < 400 && counts["200 off"] > 200,
        "{counts:?}"
    );
}

#[test]
fn a_good_setting_is_everybodys_in_the_end_and_after_a_restart() {
    let _busy = busy();
    let flags = Flags::new();
    let (mut plimsoll, _service) = in_front(&flags, &[]);
    let users = caller("users.py", &[&plimsoll.ingress, "800"]);
    let ramp = ["ramp", "new-tax", "--variant", "on", "--wait", "--as", "ada"];
    let (code, text) = said(&flag(&plimsoll, &ramp));
    assert_eq!(code, Some(0), "{text}");
    let shown = plimsoll.admin_url("/api/v1/changes/flag:new-tax-1");
    curl_until(&[&shown], |shown| shown.contains("\"phase\": \"final\""));
    let counts = got(users);
    assert!(
        counts["200 on"] > 100 && counts.keys().all(|answer| answer.starts_with("200 ")),
        "{counts:?}"
    );
    curl_until(&[&plimsoll.admin_url("/metrics")], |metrics| {
        metrics.contains("\nplimsoll_facts_unwritten 0\n")
    });
    plimsoll.process.signal("-KILL");
    plimsoll.process.end();
    let again = plimsoll.again();
    let (_, listed) = said(&flag(&again, &["list"]));
    assert!(
        listed.contains("as flag:new-tax-1 has made it, which is not in the file yet"),
        "{listed}"
    );
    let lines = [json!({ "flag": "new-tax", "type": "boolean", "default": false, "context": {} })];
    assert_eq!(ask(&flags, "ofrep", &lines)[0]["value"], true);
}

#[test]
fn a_kill_is_everywhere_at_once() {
    let flags = Flags::new();
    flags.write(&json!({ "new-tax": on_or_off("on") }));
    let (plimsoll, _service) = in_front(&flags, &[]);
    let everybody = |user: u32, is: &str| {
        let header = format!("x-user: {user}");
        curl_until(&["-H", &header, &plimsoll.url("/")], |answer| {
            answer.ends_with(is)
        });
    };
    everybody(1, "on");
    // Nothing holds it up: no freeze, and no ramp that is under way.
    let change = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["change", "freeze", "--admin", &plimsoll.admin_url("")])
        .args(["--for", "1h", "--reason", "the sale begins"])
        .output()
        .unwrap();
    assert!(change.status.success());
    let kill = ["kill", "new-tax", "--reason", "customers call"];
    let (code, text) = said(&flag(&plimsoll, &kill));
    assert_eq!(code, Some(0), "{text}");
    for user in 1..20 {
        everybody(user, "off");
    }
}

#[test]
fn an_upgrade_and_a_broken_file_leave_flags_where_they_were() {
    let flags = Flags::new();
    flags.write(&json!({ "new-tax": on_or_off("on") }));
    let mut plimsoll = flags.start("127.0.0.1:9");
    let lines = [json!({ "flag": "new-tax", "type": "boolean", "default": false, "context": {} })];
    let heir = crate::upgrade::take_over(&mut plimsoll);
    assert_eq!(
        ask(&flags, "ofrep", &lines)[0]["value"],
        true,
        "on the same socket, by another process"
    );
    // What cannot be read keeps a reload out, and says why, with the place.
    let mut broken = on_or_off("of");
    broken["variants"] = json!({ "on": true });
    flags.write(&json!({ "new-tax": broken }));
    let answer = curl(&["-X", "POST", &plimsoll.admin_url("/reload?text")]);
    assert!(
        answer.starts_with("HTTP/1.1 409") && answer.contains("/flags/new-tax/defaultVariant"),
        "{answer}"
    );
    assert_eq!(ask(&flags, "ofrep", &lines)[0]["value"], true);
    heir.end(&mut plimsoll);
}
