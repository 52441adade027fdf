//! Under a supervisor that speaks systemd's protocols: sockets that it listens on for us, and what it is told.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use crate::upgrade::take_over;
use crate::world::{Plimsoll, Process, curl, curl_until, kill, peer, service};

/// The config of an activated Plimsoll: its addresses are the supervisor's affair, but for the last one.
fn config(upstream: &str, by_address: &str) -> String {
    format!(
        "listeners:
  - {{ name: ingress, listen: '127.0.0.1:1', routes: [{{ name: all, path: '/{{*rest}}', upstream: service }}] }}
  - {{ name: second, listen: '{by_address}', routes: [{{ name: all, path: '/{{*rest}}', upstream: service }}] }}
upstreams: [{{ name: service, endpoints: ['http://{upstream}'], health: off }}]
admin: {{ listen: '127.0.0.1:2' }}
"
    )
}

#[test]
fn sockets_of_a_supervisor_are_served_on() {
    let (_service, upstream) = service("http_service.py", &[]);
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let path = file.path().to_str().unwrap();
    let mut command = peer("activate.py");
    let names = "ingress:unit.socket:admin:file:nobodys";
    command.args([names, env!("CARGO_BIN_EXE_plimsoll"), "run", "--config", path]);
    let mut process = Process::start(command.args(["--cores", "2"]));
    let addresses = process.wait_for("addresses", |line| Some(line.to_owned()));
    let addresses: Vec<&str> = addresses.split(' ').collect();
    let [ingress, by_address, admin, nobodys] = addresses[..] else {
        panic!("{addresses:?}")
    };
    std::fs::write(file.path(), config(&upstream, by_address)).unwrap();
    // They come before there is anybody, and wait.
    let waiting: Vec<_> = [ingress, by_address, ingress, by_address]
        .into_iter()
        .map(|address| {
            let url = format!("http://{address}/headers");
            std::thread::Builder::new().spawn(move || curl(&[&url])).unwrap()
        })
        .collect();
    process.nudge();
    for waiting in waiting {
        assert!(waiting.join().unwrap().contains(" 200"));
    }
    let mut plimsoll = Plimsoll::of(process, ingress, admin);
    let unfit = plimsoll.wait_for_log("a descriptor that was passed cannot be used");
    assert!(unfit["cause"].as_str().unwrap().starts_with("file: "), "{unfit}");
    let unused = plimsoll.wait_for_log("a socket that was passed is no listener's, and is closed");
    assert_eq!(
        (&unused["name"], &unused["address"]),
        (&"nobodys".into(), &nobodys.into())
    );
    plimsoll.wait_for_log("operators may ask");
    let heir = take_over(&mut plimsoll);
    for address in [ingress, by_address] {
        assert!(curl(&[&format!("http://{address}/headers")]).contains(" 200"));
    }
    assert_eq!(plimsoll.process.end(), Some(0));
    heir.end(&mut plimsoll);
}

/// The supervisor's end.
struct Supervisor(UnixDatagram);

impl Supervisor {
    /// The next datagram that is no sign of life.
    #[track_caller]
    fn told(&self) -> String {
        loop {
            let told = self.any();
            if told != "WATCHDOG=1" {
                return told;
            }
        }
    }

    #[track_caller]
    fn any(&self) -> String {
        let mut bytes = [0; 1024];
        let length = self.0.recv(&mut bytes).expect("something is told in time");
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }
}

/// Whether a process has its state open.
fn keeps_state(pid: u32) -> bool {
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let mut paths = open.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
    paths.any(|path| path.to_string_lossy().ends_with(".state-wal"))
}

/// Open descriptors of a process.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn a_supervisor_is_told_what_becomes_of_the_process() {
    let (_service, upstream) = service("http_service.py", &[]);
    let files = tempfile::tempdir().unwrap();
    let path = files.path().join("notify");
    let supervisor = Supervisor(UnixDatagram::bind(&path).unwrap());
    supervisor
        .0
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let yaml = config(&upstream, "127.0.0.1:0").replace("127.0.0.1:1'", "127.0.0.1:0'");
    let yaml = yaml.replace("127.0.0.1:2'", "127.0.0.1:0'");
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let mut plimsoll = Plimsoll::configured_by(&mut command, &yaml);
    assert_eq!(supervisor.told(), "READY=1\nSTATUS=serving");
    for _ in 0..3 {
        assert_eq!(supervisor.any(), "WATCHDOG=1");
    }

    plimsoll.process.signal("-HUP");
    let reloading = supervisor.told();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(since.parse::<u64>().unwrap() > 0);
    assert_eq!(supervisor.told(), "READY=1\nSTATUS=serving");
    plimsoll.rewrite("listeners: []");
    plimsoll.process.signal("-HUP");
    assert!(supervisor.told().starts_with("RELOADING=1"));
    assert!(supervisor.told().contains("the last reload was refused"));
    plimsoll.rewrite(&yaml);

    let first = take_over(&mut plimsoll);
    assert_eq!(supervisor.told(), format!("MAINPID={}", first.0));
    assert_eq!(supervisor.told(), "READY=1\nSTATUS=serving");
    assert_eq!(plimsoll.process.end(), Some(0), "and says nothing of its own end");
    assert_eq!(
        supervisor.any(),
        "WATCHDOG=1",
        "the new one has taken that over, too"
    );
    // What it keeps is opened a moment after it serves.
    curl_until(&[&plimsoll.admin_url("/livez")], |_| keeps_state(first.0));
    let held = descriptors(first.0);
    let second = take_over(&mut plimsoll);
    assert_eq!(supervisor.told(), format!("MAINPID={}", second.0));
    assert_eq!(supervisor.told(), "READY=1\nSTATUS=serving");
    // Nothing is left over from one process to the next, but for the connection that asks.
    curl_until(&[&plimsoll.admin_url("/livez")], |_| {
        descriptors(second.0) <= held
    });

    kill("-TERM", second.0);
    assert_eq!(supervisor.told(), "STOPPING=1\nSTATUS=draining");
    plimsoll.wait_for_log("stopped");
}
