//! gRPC's interoperability tests, through the gateway: the server is gRPC's own, in Go, and the clients are three stacks
//! that share no code, in Go, Python and JavaScript.
//!
//! Go's client is gRPC's own as well, and is run case by case. The other two play the same cases by scripts of ours,
//! since no registry has theirs. Left out are what needs Google's accounts or several servers, and compression, which
//! Go's server does not take.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use super::plimsoll::Plimsoll;
use super::{Bench, Verdict, free_port, has, javascript, limited, python, quietly, until_listening, write};

/// Of a release that the Go of a stable Debian can build.
const MODULE: &str = "module conformance

go 1.17

require google.golang.org/grpc v1.56.3
";

const CASES: &[&str] = &[
    "empty_unary",
    "large_unary",
    "client_streaming",
    "server_streaming",
    "ping_pong",
    "empty_stream",
    "cancel_after_begin",
    "cancel_after_first_response",
    "timeout_on_sleeping_server",
    "status_code_and_message",
    "special_status_message",
    "custom_metadata",
    "unimplemented_method",
    "unimplemented_service",
];

pub(super) fn run(bench: &Bench, _: &[String]) -> anyhow::Result<Verdict> {
    if !has("go") {
        return Ok(Verdict::Skipped(
            "there is no Go to build gRPC's own server with (Debian: golang-go)".to_owned(),
        ));
    }
    let place = bench.directory("grpc")?;
    build(&place)?;
    let server = Server::start(&place)?;
    let yaml = format!(
        "listeners: [{{ name: ingress, listen: '127.0.0.1:0' }}]
upstreams: [{{ name: server, endpoints: ['http://127.0.0.1:{}'], protocol: http2 }}]
admin: {{ listen: '127.0.0.1:0' }}
",
        server.port
    );
    let mut plimsoll = Plimsoll::start(bench.plimsoll()?, &place, &yaml, 1)?;
    let address = plimsoll.listeners[0];
    let (mut said, mut wrong) = (Vec::new(), Vec::new());
    let mut clients = vec![("grpc-go", by_go(&place, address.port()))];
    if has("python3") {
        clients.push(("grpcio", by_python(&place, &address.to_string())));
    }
    if has("npm") {
        clients.push(("grpc-js", by_javascript(&place, &address.to_string())));
    }
    for (name, passed) in clients {
        match passed {
            Ok(passed) if passed == CASES.len() => said.push(format!("{name} {passed} of {passed}")),
            Ok(passed) => wrong.push(format!("{name}: {passed} of {} cases", CASES.len())),
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    if !plimsoll.is_alive() {
        wrong.push("the gateway has ended".to_owned());
    }
    Ok(if wrong.is_empty() {
        Verdict::Passed(said.join("; "))
    } else {
        Verdict::Failed(wrong.join("\n"))
    })
}

/// Builds gRPC's own client and server, once.
fn build(place: &Path) -> anyhow::Result<()> {
    let module = place.join("go.mod");
    let built = |name: &str| place.join(name).exists();
    if built("client") && built("server") && std::fs::read_to_string(&module).is_ok_and(|text| text == MODULE)
    {
        return Ok(());
    }
    eprintln!(
        "building gRPC's interoperability client and server with Go, in {}",
        place.display()
    );
    for name in ["client", "server"] {
        drop(std::fs::remove_file(place.join("go.sum")));
        std::fs::write(&module, MODULE).context("writing go.mod")?;
        let mut go = Command::new("go");
        go.args(["build", "-mod=mod", "-o", name])
            .arg(format!("google.golang.org/grpc/interop/{name}"))
            .current_dir(place);
        quietly(&mut go, &format!("building gRPC's {name}"))?;
    }
    // Go may have added what it found out; ours is what is compared.
    std::fs::write(&module, MODULE).context("writing go.mod")
}

/// gRPC's own server. It ends with its handle.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(place: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let child = Command::new(place.join("server"))
            .args(["--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting gRPC's server")?;
        let mut server = Self { child, port };
        until_listening(&mut server.child, port).context("waiting for gRPC's server")?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Plays every case by Go; how many passed.
fn by_go(place: &Path, port: u16) -> anyhow::Result<usize> {
    for case in CASES {
        let mut client = Command::new("timeout");
        client.arg("30").arg(place.join("client")).args([
            "--server_host",
            "127.0.0.1",
            "--server_port",
            &port.to_string(),
            "--test_case",
            case,
        ]);
        quietly(&mut client, case)?;
    }
    Ok(CASES.len())
}

/// Runs a script that says `ok CASE` for each that passed.
fn by_script(script: &mut Command, address: &str) -> anyhow::Result<usize> {
    let output = script.arg(address).output().context("running its script")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let passed = CASES
        .iter()
        .filter(|case| text.lines().any(|line| line.strip_prefix("ok ") == Some(case)))
        .count();
    anyhow::ensure!(
        output.status.success(),
        "{passed} of {} cases, then\n{}",
        CASES.len(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(passed)
}

fn by_python(place: &Path, address: &str) -> anyhow::Result<usize> {
    let python = python(place, "grpcio>=1.60,<2")?;
    let script = write(place, "interop.py", include_str!("peers/interop.py"))?;
    by_script(limited(&python).arg(script), address)
}

fn by_javascript(place: &Path, address: &str) -> anyhow::Result<usize> {
    javascript(place, "@grpc/grpc-js@1")?;
    let script = write(place, "interop.js", include_str!("peers/interop.js"))?;
    by_script(limited(Path::new("node")).arg(script), address)
}
