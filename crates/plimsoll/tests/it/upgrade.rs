//! A new process takes over from the old one: under load, and when it cannot.

use std::path::PathBuf;
use std::process::Command;

use crate::Ran;
use crate::world::{Plimsoll, caller, curl, kill, service};

/// A process that took over: nobody's child, so it is ended by its id.
#[derive(Debug)]
pub(crate) struct Heir(pub(crate) u32);

impl Drop for Heir {
    fn drop(&mut self) {
        // It may have ended as it should.
        drop(Command::new("kill").args(["-KILL", &self.0.to_string()]).output());
    }
}

impl Heir {
    /// Lets it drain, and waits for its last line.
    pub(crate) fn end(&self, plimsoll: &mut Plimsoll) {
        kill("-TERM", self.0);
        plimsoll.wait_for_log("stopped");
    }
}

/// Runs `plimsoll upgrade`.
fn upgrade(plimsoll: &Plimsoll) -> Ran {
    crate::plimsoll(
        &["upgrade", "--admin", &format!("http://{}", plimsoll.admin)],
        b"",
    )
}

/// Has a new process take over, and waits until it serves.
#[track_caller]
pub(crate) fn take_over(plimsoll: &mut Plimsoll) -> Heir {
    let ran = upgrade(plimsoll);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    let pid = ran.out.split(' ').nth(1).unwrap().parse().unwrap();
    plimsoll.wait_for_log("operators may ask");
    Heir(pid)
}

fn in_front(http: &str, more: &str) -> String {
    format!(
        "listeners:
  - {{ name: ingress, listen: '127.0.0.1:0', routes: [{{ name: all, path: '/{{*rest}}', upstream: http }}] }}
upstreams: [{{ name: http, endpoints: ['http://{http}'] }}]
admin: {{ listen: '127.0.0.1:0' }}
{more}
"
    )
}

#[test]
fn nobody_notices_three_upgrades() {
    let (_http, http) = service("http_service.py", &[]);
    let (_grpc, grpc) = service("grpc_peer.py", &["serve"]);
    let (_websocket, websocket) = service("websocket_peer.py", &["serve"]);
    let listener = |name: &str| {
        format!(
            "  - {{ name: {name}, listen: '127.0.0.1:0', routes: [{{ name: {name}, path: '/{{*rest}}', upstream: {name} }}] }}\n"
        )
    };
    let yaml = format!(
        "listeners:
{}{}{}upstreams:
  - {{ name: http, endpoints: ['http://{http}'] }}
  - {{ name: grpc, endpoints: ['http://{grpc}'], protocol: http2 }}
  - {{ name: websocket, endpoints: ['http://{websocket}'] }}
admin: {{ listen: '127.0.0.1:0' }}
",
        listener("http"),
        listener("grpc"),
        listener("websocket"),
    );
    let mut plimsoll = Plimsoll::configured(&yaml);
    let address = |name: &str| {
        let status = curl(&[&plimsoll.admin_url("/status?json")]);
        let status: serde_json::Value =
            serde_json::from_str(status.split_once("\r\n\r\n").unwrap().1).unwrap();
        let listeners = status["listeners"].as_array().unwrap();
        let listener = listeners.iter().find(|listener| listener["name"] == name);
        listener.unwrap()["address"].as_str().unwrap().to_owned()
    };
    let (http, grpc, websocket) = (address("http"), address("grpc"), address("websocket"));
    let mut callers = caller("callers.py", &[&http, &grpc, &websocket]);
    let mut serving = plimsoll.process.id();
    let mut heirs = Vec::new();
    for turn in 0..3 {
        plimsoll.rewrite(&format!("{yaml}drain_max: {}s\n", 20 + turn));
        kill("-HUP", serving);
        plimsoll.wait_for_log("configuration applied");
        let heir = take_over(&mut plimsoll);
        serving = heir.0;
        heirs.push(heir);
        // The one that was left ends when the streams that it carries have.
        plimsoll.wait_for_log("stopped");
    }
    assert_eq!(plimsoll.process.end(), Some(0));
    callers.nudge();
    let said = callers.wait_for("what became of them", |line| {
        serde_json::from_str::<serde_json::Value>(line).ok()
    });
    assert_eq!(said["failures"], serde_json::json!({}), "{said}");
    for kind in ["kept", "fresh", "slow", "websocket", "grpc unary", "grpc stream"] {
        assert!(
            said["answered"][kind].as_u64().is_some_and(|count| count > 3),
            "{said}"
        );
    }
    heirs.pop().unwrap().end(&mut plimsoll);
}

/// A Plimsoll that is started through a link, which a deploy points elsewhere.
struct Deployed {
    _files: tempfile::TempDir,
    link: PathBuf,
    plimsoll: Plimsoll,
    yaml: String,
}

impl Deployed {
    fn new(http: &str, more: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        let link = files.path().join("plimsoll");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_plimsoll"), &link).unwrap();
        let yaml = in_front(http, more);
        Self {
            plimsoll: Plimsoll::configured_by(&mut Command::new(&link), &yaml),
            _files: files,
            link,
            yaml,
        }
    }

    /// Points the link at a script.
    fn deploy(&self, script: &str) {
        let file = self.link.with_extension("sh");
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, executable).unwrap();
        self.point(&file);
    }

    fn point(&self, at: &std::path::Path) {
        std::fs::remove_file(&self.link).unwrap();
        std::os::unix::fs::symlink(at, &self.link).unwrap();
    }

    /// Tries to upgrade; nothing may come of it, and nobody may notice.
    #[track_caller]
    fn fails(&mut self, says: &[&str]) {
        let ran = upgrade(&self.plimsoll);
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
        for say in says {
            assert!(ran.err.contains(say), "{say} is not in {}", ran.err);
        }
        let line = self.plimsoll.wait_for_log("upgrade failed");
        assert!(line["cause"].as_str().unwrap().contains(says[0]), "{line}");
        self.serves();
    }

    #[track_caller]
    fn serves(&self) {
        assert!(curl(&[&self.plimsoll.url("/headers")]).contains(" 200"));
    }
}

#[test]
fn an_upgrade_that_fails_leaves_the_old_process_serving() {
    let (_http, http) = service("http_service.py", &[]);
    let mut deployed = Deployed::new(&http, "upgrade_max: 1s");
    let kept = deployed.plimsoll.url("/headers");

    let broken = deployed.yaml.replace("upstreams:", "upstreems:");
    deployed.plimsoll.rewrite(&broken);
    deployed.fails(&[
        "ended with exit status: 2",
        "the key `upstreems` is not known here",
    ]);
    deployed.plimsoll.rewrite(&deployed.yaml);

    deployed.deploy("echo it is broken >&2; exit 7");
    deployed.fails(&["ended with exit status: 7", "it said:\nit is broken"]);

    deployed.deploy("exec sleep 100");
    deployed.fails(&["was not ready within 1s, and was ended, and said nothing"]);

    std::fs::remove_file(&deployed.link).unwrap();
    let ran = upgrade(&deployed.plimsoll);
    assert!(ran.err.contains("No such file or directory"), "{ran:?}");
    std::os::unix::fs::symlink("/dev/null", &deployed.link).unwrap();
    let ran = upgrade(&deployed.plimsoll);
    assert!(ran.err.contains("Permission denied"), "{ran:?}");

    // None of that has taken anything away, neither from callers nor from an upgrade that is right.
    let answers = curl(&[&kept, &kept]);
    assert_eq!(answers.matches(" 200").count(), 2, "{answers}");
    deployed.point(env!("CARGO_BIN_EXE_plimsoll").as_ref());
    let heir = take_over(&mut deployed.plimsoll);
    deployed.serves();
    assert_eq!(deployed.plimsoll.process.end(), Some(0));
    heir.end(&mut deployed.plimsoll);
}

#[test]
fn a_new_process_that_is_killed_or_not_wanted_any_more_is_no_loss() {
    let (_http, http) = service("http_service.py", &[]);
    let mut deployed = Deployed::new(&http, "");
    deployed.deploy("exec sleep 100");
    let admin = format!("http://{}", deployed.plimsoll.admin);
    let begin = || {
        let admin = admin.clone();
        std::thread::Builder::new()
            .spawn(move || crate::plimsoll(&["upgrade", "--admin", &admin], b""))
            .unwrap()
    };
    let pid = |deployed: &mut Deployed| -> u32 {
        let line = deployed.plimsoll.wait_for_log("upgrade begun");
        line["pid"].as_str().unwrap().parse().unwrap()
    };

    let killed = begin();
    let new = pid(&mut deployed);
    let second = upgrade(&deployed.plimsoll);
    assert!(second.err.contains("another upgrade is under way"), "{second:?}");
    kill("-KILL", new);
    let killed = killed.join().unwrap();
    assert_eq!(killed.code, Some(3), "{killed:?}");
    assert!(
        killed.err.contains("ended with signal: 9 (SIGKILL)"),
        "{killed:?}"
    );
    deployed.serves();

    // By the signal, and a signal that ends both.
    deployed.plimsoll.process.signal("-USR2");
    let new = pid(&mut deployed);
    deployed.plimsoll.process.signal("-TERM");
    assert_eq!(deployed.plimsoll.process.end(), Some(0));
    assert!(
        !std::path::Path::new(&format!("/proc/{new}")).exists(),
        "what came up is ended with it"
    );
}

/// Then the new one is all there is, and its sockets wait for it in the channel, with whoever waits in them.
#[test]
fn an_old_process_that_dies_meanwhile_is_replaced_all_the_same() {
    let (_http, http) = service("http_service.py", &[]);
    let mut deployed = Deployed::new(&http, "");
    let hold = deployed.link.with_extension("hold");
    let (held, binary) = (hold.display(), env!("CARGO_BIN_EXE_plimsoll"));
    // Comes up when it is let: a pipe that nobody writes to is waited for.
    assert!(Command::new("mkfifo").arg(&hold).status().unwrap().success());
    deployed.deploy(&format!("read -r line < {held}\nexec {binary} \"$@\""));
    deployed.plimsoll.process.signal("-USR2");
    let line = deployed.plimsoll.wait_for_log("upgrade begun");
    let heir = Heir(line["pid"].as_str().unwrap().parse().unwrap());
    deployed.plimsoll.process.signal("-KILL");
    assert_eq!(deployed.plimsoll.process.end(), None);
    let url = deployed.plimsoll.url("/headers");
    let waits = std::thread::Builder::new().spawn(move || curl(&[&url])).unwrap();
    std::fs::write(&hold, "go\n").unwrap();
    assert!(waits.join().unwrap().contains(" 200"));
    deployed.serves();
    deployed.plimsoll.wait_for_log("operators may ask");
    heir.end(&mut deployed.plimsoll);
}

#[test]
fn a_signal_upgrades_and_the_command_line_can_be_anything() {
    let (_http, http) = service("http_service.py", &[]);
    let mut plimsoll = Plimsoll::in_front_of(&http);
    plimsoll.process.signal("-USR2");
    let line = plimsoll.wait_for_log("handed over, draining");
    let heir = Heir(line["pid"].as_str().unwrap().parse().unwrap());
    assert_eq!(plimsoll.process.end(), Some(0));
    assert!(curl(&[&plimsoll.url("/headers")]).contains(" 200"));
    heir.end(&mut plimsoll);
}
