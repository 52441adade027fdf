//! A Plimsoll under attack, with a service behind it, a well-behaved neighbour of the attacker's, and somebody who
//! watches its memory.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::world::{Plimsoll, curl, curl_until};

static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];

/// Bytes of the answer to `/big`.
pub(crate) const BIG: usize = 8 << 20;

/// Requests that a neighbour makes at least, if the attack is over sooner.
const SERVED_MIN: u32 = 20;

/// Longer than this and a neighbour would complain. The binary is a debug build, and the machine has few cores, which
/// the attacker uses too; what is looked for is a hundred times slower.
const QUICK: Duration = Duration::from_secs(3);

pub(crate) struct Victim {
    pub(crate) plimsoll: Plimsoll,
    pub(crate) address: SocketAddr,
    /// KiB of memory before the attack.
    pub(crate) at_rest: u64,
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    watcher: JoinHandle<()>,
    neighbour: JoinHandle<Neighbour>,
}

/// What a well-behaved caller saw.
#[derive(Debug, Default)]
struct Neighbour {
    served: u32,
    /// Answered with 503.
    refused: u32,
    slowest: Duration,
    wrong: Vec<String>,
}

impl Victim {
    /// `limits` is what its listener has, `process` more of the file's top level.
    pub(crate) fn with(limits: &str, process: &str) -> Self {
        let service = serve();
        let plimsoll = Plimsoll::configured(&format!(
            "listeners:
  - name: ingress
    listen: 127.0.0.1:0
    limits: {{ {limits} }}
upstreams: [{{ name: service, endpoints: ['http://{service}'], outlier: off, breaker: off }}]
admin: {{ listen: '127.0.0.1:0' }}
{process}
"
        ));
        let address: SocketAddr = plimsoll.ingress.parse().unwrap();
        // Whatever is allocated once, is.
        assert!(curl(&[&plimsoll.url("/")]).contains(" 200"));
        let (stop, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let at_rest = plimsoll.process.anonymous().0;
        let watcher = std::thread::spawn({
            let (stop, peak, process) = (Arc::clone(&stop), Arc::clone(&peak), plimsoll.process.id());
            move || {
                while !stop.load(Relaxed) {
                    if let Some(kibibytes) = anonymous(process) {
                        peak.fetch_max(kibibytes, Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        // It was here before the attacker, and keeps its connection.
        let first = Caller::to(address);
        let neighbour = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || call_until(&stop, first)
        });
        Self {
            plimsoll,
            address,
            at_rest,
            peak,
            stop,
            watcher,
            neighbour,
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// How many requests or connections came to this reason.
    pub(crate) fn refused(&self, reason: &str) -> u64 {
        of_reason(&curl(&[&self.plimsoll.admin_url("/metrics")]), reason)
    }

    /// Waits until so many have.
    #[track_caller]
    pub(crate) fn counts(&self, reason: &str, count: u64) {
        curl_until(&[&self.plimsoll.admin_url("/metrics")], |page| {
            of_reason(page, reason) == count
        });
    }

    /// The attack is over. Its neighbour was served, memory stayed within `growth` KiB of what it was, nothing panicked,
    /// and what the attacker held is let go. Whoever attacked has closed its connections by now.
    pub(crate) fn survived(self, growth: u64) {
        let neighbour = self.let_go(growth);
        assert_eq!(neighbour.refused, 0, "{neighbour:?}");
    }

    /// The same, but for its neighbour, who may have been refused for a while.
    pub(crate) fn endured(self, growth: u64) {
        let neighbour = self.let_go(growth);
        assert!(neighbour.refused > 0, "it was not even full: {neighbour:?}");
    }

    #[expect(
        clippy::print_stdout,
        reason = "the figures of the run, for whoever asks with --nocapture"
    )]
    fn let_go(mut self, growth: u64) -> Neighbour {
        self.stop.store(true, Relaxed);
        self.watcher.join().unwrap();
        let neighbour = self.neighbour.join().unwrap();
        let (rest, peak) = (self.at_rest, self.peak.load(Relaxed));
        println!(
            "{} requests of the neighbour, the slowest {:?}; memory {rest} -> {peak} KiB",
            neighbour.served, neighbour.slowest
        );
        assert!(neighbour.wrong.is_empty(), "{neighbour:?}");
        assert!(neighbour.slowest < QUICK, "{neighbour:?}");
        assert!(peak < rest + growth, "from {rest} to {peak} KiB");
        let metrics = self.plimsoll.admin_url("/metrics");
        // curl's own request goes to the admin port, and does not count.
        let page = curl_until(&[&metrics], |page| {
            page.contains("plimsoll_listener_connections{listener=\"ingress\"} 0\n")
                && page.contains("plimsoll_bulkhead_in_flight{upstream=\"service\"} 0\n")
        });
        assert!(!page.contains("reason=\"internal\""), "{page}");
        assert!(curl(&[&self.plimsoll.url("/")]).contains(" 200"));
        self.plimsoll.process.signal("-TERM");
        assert_eq!(self.plimsoll.process.end(), Some(0));
        neighbour
    }
}

fn of_reason(metrics: &str, reason: &str) -> u64 {
    let label = format!("reason=\"{reason}\"");
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("plimsoll_requests_total{") && line.contains(&label));
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// `None` when the process is gone.
fn anonymous(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

/// A connection of the neighbour's.
struct Caller(BufReader<TcpStream>);

impl Caller {
    fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self) -> std::io::Result<u16> {
        self.0.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        read_answer(&mut self.0)
    }
}

/// The status of the next answer, which has a length.
pub(crate) fn read_answer(stream: &mut impl BufRead) -> std::io::Result<u16> {
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(status)
}

fn call_until(stop: &AtomicBool, mut caller: Caller) -> Neighbour {
    let mut seen = Neighbour::default();
    while (!stop.load(Relaxed) || seen.served < SERVED_MIN) && seen.wrong.len() < 5 {
        let began = Instant::now();
        match caller.ask() {
            Ok(200) => seen.served += 1,
            Ok(503) => seen.refused += 1,
            other => seen.wrong.push(format!("{other:?} after {}", seen.served)),
        }
        seen.slowest = seen.slowest.max(began.elapsed());
        std::thread::sleep(Duration::from_millis(10));
    }
    seen
}

/// A service: `/big` is [`BIG`] bytes, all else nothing. Reads whatever body it is sent.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // The standard library lets 128 wait. Three hundred come at once, and a connection that does not fit is tried again
    // after a second, which is the gateway's bound as well.
    rustix::net::listen(&listener, 1_024).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_all(stream));
        }
    });
    address
}

fn answer_all(stream: TcpStream) -> std::io::Result<()> {
    let mut out = stream.try_clone()?;
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut big, mut length, mut chunked) = (String::new(), false, 0, false);
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        big |= line.contains(" /big ");
        while line.trim_end() != "" {
            line.clear();
            stream.read_line(&mut line)?;
            let field = line.to_ascii_lowercase();
            chunked |= field.starts_with("transfer-encoding: chunked");
            if let Some(value) = field.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink())?;
        if chunked {
            loop {
                line.clear();
                if stream.read_line(&mut line)? == 0 {
                    return Ok(());
                }
                let size = u64::from_str_radix(line.trim(), 16).unwrap();
                std::io::copy(&mut stream.by_ref().take(size + 2), &mut std::io::sink())?;
                if size == 0 {
                    break;
                }
            }
        }
        let length = if big { BIG } else { 0 };
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        out.write_all(head.as_bytes())?;
        for _ in 0..length / PIECE.len() {
            out.write_all(&PIECE)?;
        }
    }
}
