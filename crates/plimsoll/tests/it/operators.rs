//! The port for operators, as programs meet it that we did not write: over TLS, by its own description, by scraping.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::world::{Plimsoll, Process, busy, certificates, curl, curl_until, peer, service};
use crate::{plimsoll, testdata};

/// A token as `plimsoll token` makes it: itself, and the lines that know it, indented.
pub(crate) fn token(name: &str, role: &str) -> (String, String) {
    let made = plimsoll(&["token", name, "--role", role, "--expires", "2099-01-01"], b"");
    assert_eq!(made.code, Some(0), "{}", made.err);
    let token = made.err.lines().last().unwrap().to_owned();
    let lines: Vec<String> = made.out.lines().map(|line| format!("    {line}")).collect();
    (token, lines.join("\n") + "\n")
}

fn configuration(upstream: &str, admin: &str) -> String {
    format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all }}] }}]
upstreams: [{{ name: app, endpoints: ['http://{upstream}'] }}]
objectives: [{{ name: all, target: 99% }}, {{ name: quick, target: 95%, latency: 300ms, window: month }}]
admin:
  listen: '127.0.0.1:0'
{admin}"
    )
}

#[test]
fn operators_are_served_over_tls_by_role() {
    let directory = tempfile::tempdir().unwrap();
    let [ca, certificate, key] = certificates(directory.path());
    let ((viewer, first), (operator, second)) = (token("grafana", "viewer"), token("ada", "operator"));
    let admin = format!("  tls: {{ certificate: {certificate}, key: {key} }}\n  tokens:\n{first}{second}");
    let plimsoll_ = Plimsoll::configured(&configuration("127.0.0.1:9", &admin));
    let port = plimsoll_.admin.rsplit(':').next().unwrap();
    let url = |path: &str| format!("https://localhost:{port}{path}");
    let to = format!("localhost:{port}:127.0.0.1");
    let ask = |token: &str, more: &[&str]| {
        let bearer = format!("Authorization: Bearer {token}");
        let all = [&["--resolve", &to, "--cacert", &ca, "-H", &bearer], more].concat();
        curl(&all)
    };
    let status = ask(&viewer, &["--http2", &url("/status?text")]);
    assert!(
        status.starts_with("HTTP/1.1 200") && status.contains("serving"),
        "{status}"
    );
    assert!(ask(&viewer, &["-X", "POST", &url("/reload")]).starts_with("HTTP/1.1 403"));
    assert!(ask(&operator, &["-X", "POST", &url("/reload?text")]).contains("applied"));
    assert!(ask("plim_guess", &[&url("/status")]).starts_with("HTTP/1.1 401"));
    let clear = Command::new("curl")
        .args(["-sS", "--max-time", "5", &plimsoll_.admin_url("/livez")])
        .output();
    assert!(!clear.unwrap().status.success(), "cleartext is not answered");

    let file = directory.path().join("token");
    std::fs::write(&file, &operator).unwrap();
    let (admin, file) = (url(""), file.to_str().unwrap());
    let known = ["--admin", &admin, "--token-file", file, "--ca", &ca];
    let said = plimsoll(
        &[
            &["silence", "set", "all", "--for", "10m", "--reason", "we know"],
            &known[..],
        ]
        .concat(),
        b"",
    );
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    let audit = ask(&viewer, &[&url("/audit?text")]);
    assert!(
        audit.contains("silenced all until") && audit.contains("reloaded the configuration"),
        "{audit}"
    );
    assert!(
        audit.contains(", by the token of ada") || audit.contains(" ada "),
        "{audit}"
    );
    let said = plimsoll(&["status", "--admin", &admin, "--token-file", file], b"");
    assert_eq!(
        said.code,
        Some(3),
        "an authority that nobody vouches for: {}",
        said.out
    );
}

#[test]
fn the_api_is_as_its_document_says() {
    let _busy = busy();
    let (token, lines) = token("breaker", "admin");
    let plimsoll = Plimsoll::configured(&configuration("127.0.0.1:9", &format!("  tokens:\n{lines}")));
    let root = plimsoll.admin_url("/api/v1");
    let (document, bearer) = (
        format!("{root}/openapi.json"),
        format!("Authorization: Bearer {token}"),
    );
    let config = testdata("schemathesis.toml");
    let directory = tempfile::tempdir().unwrap();
    let run = peer("").get_program().to_owned();
    let program = Path::new(&run).with_file_name("schemathesis");
    // The stream has no end, and is held to what it says elsewhere.
    let output = Command::new(program)
        .current_dir(directory.path())
        .args([
            "--config-file",
            config.to_str().unwrap(),
            "run",
            &document,
            "--url",
            &root,
            "-H",
            &bearer,
        ])
        .args([
            "--exclude-path",
            "/stream",
            "--max-examples",
            "15",
            "--seed",
            "1",
            "--no-color",
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains(" generated, ") && !said.contains(" failed"),
        "{said}"
    );
}

#[test]
fn what_a_job_reports_is_judged_once() {
    let objectives = "objectives: [{ name: nightly, target: 90%, vantage: job, latency: 1s }, ";
    let yaml = configuration("127.0.0.1:9", "").replace("objectives: [", objectives);
    let plimsoll = Plimsoll::configured(&yaml);
    let url = plimsoll.admin_url("/api/v1/outcomes");
    let report = r#"{"outcomes": [
        {"id": "run-1", "objective": "nightly", "good": true, "latency_ms": 20},
        {"id": "run-2", "objective": "nightly", "good": true, "latency_ms": 2000},
        {"id": "run-3", "objective": "nightly", "good": false},
        {"id": "run-4", "objective": "all", "good": true}
    ]}"#;
    let send = || curl(&["-H", "Content-Type: application/json", "-d", report, &url]);
    let said = send();
    assert!(
        said.contains("\"counted\": 3") && said.contains("counts the requests that pass here"),
        "{said}"
    );
    // Nobody knows whether it arrived, and sends it again.
    assert!(send().contains("\"repeated\": 3"));
    let nightly = plimsoll.admin_url("/api/v1/objectives/nightly");
    let counted = |answer: &str| answer.contains("\"bad\": 2,") && answer.contains("\"good\": 1\n");
    curl_until(&[&nightly], |answer| counted(answer));
    let all = plimsoll.admin_url("/api/v1/objectives/all");
    assert!(curl(&[&all]).contains("\"state\": \"unknown\""));
}

/// A Prometheus of its own that scrapes one address, with exemplars kept.
fn prometheus(target: &str) -> (Process, String, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let config = format!(
        "scrape_configs: [{{ job_name: plimsoll, scrape_interval: 1s, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
    );
    std::fs::write(path("p.yml"), config).unwrap();
    let run = format!(
        "exec prometheus --config.file={} --storage.tsdb.path={} --web.listen-address=127.0.0.1:0 --enable-feature=exemplar-storage 2>&1",
        path("p.yml"),
        path("data")
    );
    let mut process = Process::start(Command::new("sh").args(["-c", &run]));
    let address = process.wait_for("address", |line| {
        let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
        Some(address.trim().to_owned())
    });
    (process, address, directory)
}

#[test]
fn prometheus_reads_every_family_and_the_trace_of_a_failure() {
    let _busy = busy();
    let (_service, service) = service("http_service.py", &[]);
    let plimsoll = Plimsoll::configured(&configuration(&service, ""));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    for status in [200, 500] {
        curl(&["-H", &parent, &plimsoll.url(&format!("/status/{status}"))]);
    }
    let accept = "Accept: application/openmetrics-text;version=1.0.0";
    let page = curl_until(&["-H", accept, &plimsoll.admin_url("/metrics")], |page| {
        page.contains(trace)
    });
    let (head, page) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("application/openmetrics-text"), "{head}");
    let mut parser = peer("metrics_peer.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    parser.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let read = parser.wait_with_output().unwrap();
    assert!(read.status.success(), "the reference parser refuses it");
    let read = String::from_utf8(read.stdout).unwrap();
    let numbers: Vec<usize> = read
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    let families = page.lines().filter(|line| line.starts_with("# TYPE ")).count();
    assert!(numbers[0] == families && numbers[1] >= 1, "{read} of {families}");

    let (_prometheus, address, _data) = prometheus(&plimsoll.admin);
    let query = |path: &str| format!("http://{address}/api/v1/{path}");
    let bad = query("query?query=sum(plimsoll_requests_total%7Bclass%3D%22bad%22%7D)");
    curl_until(&[&bad], |answer| answer.contains(",\"1\"]"));
    let exemplars =
        query("query_exemplars?query=%7B__name__%3D~%22plimsoll_.%2B%22%7D&start=0&end=4102444800");
    curl_until(&[&exemplars], |answer| answer.contains(trace));
}
