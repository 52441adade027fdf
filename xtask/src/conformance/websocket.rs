//! WebSockets through the gateway, between stacks that share no code: `ws` of JavaScript and `websockets` of Python, each
//! as a server to both.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;

use super::plimsoll::Plimsoll;
use super::{Bench, Verdict, has, javascript, limited, python, write};

const PEERS: &[(&str, Peer)] = &[("ws", Peer::JavaScript), ("websockets", Peer::Python)];

#[derive(Clone, Copy)]
enum Peer {
    JavaScript,
    Python,
}

pub(super) fn run(bench: &Bench, _: &[String]) -> anyhow::Result<Verdict> {
    if !has("npm") || !has("python3") {
        return Ok(Verdict::Skipped("there is no npm, or no Python".to_owned()));
    }
    let place = bench.directory("websocket")?;
    javascript(&place, "ws@8")?;
    let python = python(&place, "websockets>=13,<16")?;
    let scripts = [
        write(&place, "ws.js", include_str!("peers/ws.js"))?,
        write(
            &place,
            "websocket_peer.py",
            include_str!("../../../crates/plimsoll/tests/it/peers/websocket_peer.py"),
        )?,
    ];
    let command = |peer: Peer, words: &[&str]| -> Command {
        let (program, script): (PathBuf, _) = match peer {
            Peer::JavaScript => ("node".into(), &scripts[0]),
            Peer::Python => (python.clone(), &scripts[1]),
        };
        let mut command = limited(&program);
        command.arg(script).args(words);
        command
    };
    let (mut said, mut wrong) = (Vec::new(), Vec::new());
    for (server, serving) in PEERS {
        let running = Server::start(command(*serving, &["serve"])).with_context(|| (*server).to_owned())?;
        let yaml = format!(
            "listeners: [{{ name: ingress, listen: '127.0.0.1:0' }}]
upstreams: [{{ name: server, endpoints: ['http://{}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
",
            running.address
        );
        let plimsoll = Plimsoll::start(bench.plimsoll()?, &place, &yaml, 1)?;
        for (client, talking) in PEERS {
            let talk = command(*talking, &["talk", &plimsoll.listeners[0].to_string()]).output();
            let talk = talk.with_context(|| (*client).to_owned())?;
            if talk.status.success() && talk.stdout == b"ok websocket\n" {
                said.push(format!("{client} to {server}"));
            } else {
                wrong.push(format!(
                    "{client} to {server}: {}",
                    String::from_utf8_lossy(&talk.stderr)
                ));
            }
        }
    }
    Ok(if wrong.is_empty() {
        Verdict::Passed(said.join("; "))
    } else {
        Verdict::Failed(wrong.join("\n"))
    })
}

/// A server that says where it listens. It ends with its handle.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Some tell at length of a close code that is not the usual one.
            .stderr(Stdio::null())
            .spawn()
            .context("starting it")?;
        let mut server = Self {
            child,
            address: String::new(),
        };
        let out = server.child.stdout.take().context("its output is piped")?;
        BufReader::new(out)
            .read_line(&mut server.address)
            .context("reading its address")?;
        server.address.truncate(server.address.trim_end().len());
        anyhow::ensure!(!server.address.is_empty(), "it ended before it listened");
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // By TERM, which `timeout` passes on to what it runs.
        drop(Command::new("kill").arg(self.child.id().to_string()).status());
        drop(self.child.wait());
    }
}
