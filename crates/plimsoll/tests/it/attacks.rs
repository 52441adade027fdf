//! The real binary under attack: a neighbour of the attacker's is served all the while, memory stays within bounds, the
//! attacker is told why it is refused, nothing panics, and afterwards everything is let go.
//!
//! The page "What it withstands" in the book lists these tests by name.

mod frames;
mod victim;

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, Heard, PING, POST, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, flood, frame, get, hear, hello,
};
use victim::{BIG, Victim, read_answer};

/// `ENHANCE_YOUR_CALM` and `CANCEL` (RFC 9113 §7).
const CALM: u32 = 0xb;
const CANCEL: u32 = 0x8;

/// How long an attacker waits for what it has coming.
const WAIT: Duration = Duration::from_secs(10);

/// Limits that a test can wait for.
const SHORT: &str = "head_time: 1s, pace_grace: 1s, upload_rate_min: 1KB, stream_idle: 1s, idle_time: 5s";

fn mebibytes(count: u64) -> u64 {
    count << 10
}

/// The status with which a connection of HTTP/1 ends.
fn last_status(stream: TcpStream) -> u16 {
    stream.set_read_timeout(Some(WAIT)).unwrap();
    read_answer(&mut BufReader::new(stream)).unwrap_or(0)
}

/// An HTTP/2 attack on one connection: what is sent again and again, and what comes back in the end. The connection is
/// kept until it is counted; of one that is gone before it was told, nobody knows why it ended.
fn assault(victim: &Victim, begin: &[u8], again: &[u8], times: usize) -> Heard {
    let mut stream = victim.connect();
    stream.write_all(&[&hello(), begin].concat()).unwrap();
    let reading = std::thread::spawn({
        let mut stream = stream.try_clone().unwrap();
        move || hear(&mut stream, WAIT, |heard| heard.goaway.is_some())
    });
    flood(&mut stream, again, times);
    let heard = reading.join().unwrap();
    victim.counts("http2-flood", 1);
    heard
}

/// It was told to be calm. Whoever writes on while the connection is closed may not hear it: the kernel resets a
/// connection that is closed with bytes unread, and throws away what is on its way. That it was ended as a flood is
/// counted in either case, which [`assault`] has seen.
#[track_caller]
fn calmed(heard: &Heard) {
    let unheard = heard.goaway.is_none() && heard.closed;
    assert!(heard.goaway == Some(CALM) || unheard, "{heard:?}");
}

#[test]
fn slow_heads() {
    let victim = Victim::with(SHORT, "");
    let mut slow: Vec<_> = (0..300).map(|_| victim.connect()).collect();
    for stream in &mut slow {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ")
            .unwrap();
    }
    // A byte now and then, as Slowloris does: what counts is when the head began.
    let end = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end {
        for stream in &mut slow {
            drop(stream.write_all(b"x"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    for stream in slow {
        assert_eq!(last_status(stream), 408);
    }
    assert_eq!(victim.refused("slow-request"), 300);
    victim.survived(mebibytes(16));
}

#[test]
fn slow_bodies() {
    let victim = Victim::with(SHORT, "");
    let mut slow: Vec<_> = (0..300).map(|_| victim.connect()).collect();
    for stream in &mut slow {
        stream
            .write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx")
            .unwrap();
    }
    for stream in slow {
        assert_eq!(last_status(stream), 408);
    }
    assert_eq!(victim.refused("slow-request"), 300);
    victim.survived(mebibytes(48));
}

/// Callers that ask for much and read nothing: each holds what its socket takes and a buffer, not the answer.
#[test]
fn slow_readers() {
    let victim = Victim::with(SHORT, "");
    let mut slow: Vec<_> = (0..50).map(|_| victim.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    }
    let mut whole = 0;
    for mut stream in slow {
        stream.set_read_timeout(Some(WAIT)).unwrap();
        // What was on its way comes, and then the end.
        std::thread::sleep(Duration::from_millis(60));
        let mut got = Vec::new();
        drop(stream.read_to_end(&mut got));
        whole += usize::from(got.len() > BIG);
    }
    assert!(whole < 50, "nobody was cut off");
    victim.survived(mebibytes(64));
}

/// The same by HTTP/2, where the window says so: every stream waits, for the window or for ever.
#[test]
fn windows_of_zero() {
    let victim = Victim::with(SHORT, "");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = victim.connect();
        // SETTINGS_INITIAL_WINDOW_SIZE 0
        let mut bytes = [frames::PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat();
        for id in (1..200).step_by(2) {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &get("/big")));
        }
        stream.write_all(&bytes).unwrap();
        streams.push(stream);
    }
    for mut stream in streams {
        let heard = hear(&mut stream, WAIT, |heard| heard.resets.len() == 100);
        assert!(heard.resets.iter().all(|(_, why)| *why == CANCEL), "{heard:?}");
        assert_eq!(heard.resets.len(), 100, "{heard:?}");
    }
    victim.survived(mebibytes(96));
}

/// CVE-2023-44487: streams that are reset as fast as they are opened.
#[test]
fn rapid_reset() {
    let victim = Victim::with(SHORT, "");
    let mut bytes = Vec::new();
    for id in (1..40_000).step_by(2) {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &GET));
        bytes.extend(frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()));
    }
    let heard = assault(&victim, &[], &bytes, 1);
    calmed(&heard);
    victim.survived(mebibytes(24));
}

/// CVE-2025-8671: the attacker makes the server reset them, by a window that grows beyond its bound.
#[test]
fn made_to_reset() {
    let victim = Victim::with(SHORT, "");
    let mut bytes = Vec::new();
    for id in (1..20_000).step_by(2) {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, &GET));
        bytes.extend(frame(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes()));
    }
    let heard = assault(&victim, &[], &bytes, 1);
    calmed(&heard);
    victim.survived(mebibytes(24));
}

/// CVE-2024-27316 and its kin: a head that never ends.
#[test]
fn endless_headers() {
    let victim = Victim::with(SHORT, "");
    let begin = frame(HEADERS, 0, 1, &GET);
    // A field without compression, `x: …`, never indexed.
    let field = [&[0x10, 1, b'x', 100][..], &[b'y'; 100]].concat();
    let more = frame(CONTINUATION, 0, 1, &field);
    let heard = assault(&victim, &begin, &more.repeat(100), 2000);
    calmed(&heard);
    victim.survived(mebibytes(24));
}

/// One field of 4 KB in the table, and a byte for each time that it is meant.
#[test]
fn header_bombs() {
    let victim = Victim::with(SHORT, "");
    let mut block = GET.to_vec();
    block.extend([0x40, 1, b'x', 0x7f]);
    // 3900 in HPACK's integers: 127, and 3773 in groups of seven bits.
    block.extend([0xbd, 0x1d]);
    block.extend([b'y'; 3900]);
    block.extend([0xbe; 10_000]); // the newest entry
    let heard = assault(
        &victim,
        &frame(HEADERS, END_HEADERS | END_STREAM, 1, &block),
        &[],
        0,
    );
    calmed(&heard);
    victim.survived(mebibytes(24));
}

/// CVE-2019-9512 and CVE-2019-9515: what must be answered, again and again.
#[test]
fn pings_and_settings() {
    for (kind, payload) in [(PING, &[0; 8][..]), (SETTINGS, &[]), (0xfa, &[0; 100])] {
        let victim = Victim::with(SHORT, "");
        let heard = assault(&victim, &[], &frame(kind, 0, 0, payload).repeat(100), 1000);
        calmed(&heard);
        victim.survived(mebibytes(24));
    }
}

/// CVE-2019-9518: data without data.
#[test]
fn empty_data() {
    let victim = Victim::with(SHORT, "");
    let begin = frame(HEADERS, END_HEADERS, 1, &POST);
    let heard = assault(&victim, &begin, &frame(DATA, 0, 1, &[]).repeat(100), 1000);
    calmed(&heard);
    victim.survived(mebibytes(24));
}

/// More connections than may be: those that are too many are told so, and cost those that are there nothing.
#[test]
fn connections() {
    let victim = Victim::with(&format!("{SHORT}, connections: 100"), "");
    let flood: Vec<_> = (0..800).map(|_| victim.connect()).collect();
    // Before all are taken from the kernel's queue, nobody may leave, or there would be room again.
    let metrics = victim.plimsoll.admin_url("/metrics");
    crate::world::curl_until(&[&metrics], |page| {
        page.contains("plimsoll_listener_connections_refused_total{listener=\"ingress\"} 701\n")
    });
    let mut told = 0;
    for mut stream in flood {
        drop(stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        told += usize::from(last_status(stream) == 503);
    }
    assert!(told > 100, "{told} were told");
    assert_eq!(
        victim.refused("overloaded"),
        701,
        "all but 100, of which the neighbour has one"
    );
    victim.survived(mebibytes(32));
}

/// Whatever is larger than it may be, by either protocol, is refused by its reason.
#[test]
fn everything_too_large() {
    let victim = Victim::with(
        &format!("{SHORT}, head: 8KiB, headers: 50, target: 1KiB, body: 10KB"),
        "",
    );
    let field = "X-Field: value\r\n";
    let long = "y".repeat(9000);
    for (request, status, reason) in [
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..2000]),
            414,
            "target-too-long",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"),
            431,
            "head-too-large",
        ),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", field.repeat(60)),
            431,
            "head-too-large",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
            413,
            "body-too-large",
        ),
    ] {
        let before = victim.refused(reason);
        let mut stream = victim.connect();
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(last_status(stream), status, "{reason}");
        assert_eq!(victim.refused(reason), before + 1);
    }
    let literal = |name: &[u8], value: usize| {
        let rest = value - 127;
        let length = [0x7f, (rest & 0x7f) as u8 | 0x80, (rest >> 7) as u8];
        [&[0x10, name.len() as u8], name, &length, &vec![b'y'; value][..]].concat()
    };
    let many: Vec<u8> = (0..60)
        .flat_map(|number| [0x10, 2, b'x', b'a' + number % 26, 1, b'0' + number / 26])
        .collect();
    let large = [&GET[..], &literal(b"x", 9000)].concat();
    let numerous = [&GET[..], &many].concat();
    let far = {
        let mut path = literal(b":path", 2000);
        path[10] = b'/';
        [&GET[..2], &path, &GET[3..]].concat()
    };
    for (block, reason) in [
        (large, "head-too-large"),
        (numerous, "head-too-large"),
        (far, "target-too-long"),
    ] {
        let before = victim.refused(reason);
        let mut stream = victim.connect();
        let bytes = [hello(), frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)].concat();
        stream.write_all(&bytes).unwrap();
        let heard = hear(&mut stream, WAIT, |heard| !heard.heads.is_empty());
        assert_eq!(heard.heads, [1], "{reason}: {heard:?}");
        assert_eq!(victim.refused(reason), before + 1);
    }
    victim.survived(mebibytes(24));
}

/// Heads that are never whole, from as many connections as it takes. New connections are what is refused, and whoever
/// was there before is served.
#[test]
fn memory_by_many_connections() {
    let mut victim = Victim::with("head_time: 30s, head: 1MiB", BOUND);
    let (holding, refused) = hold(&victim, 250_000, 800, Duration::from_millis(1));
    victim.plimsoll.wait_for_log("memory is short");
    assert!(refused > 200, "{refused} of 800");
    assert!(victim.refused("memory-full") > 200);
    let status = crate::world::curl(&[&victim.plimsoll.admin_url("/status")]);
    assert!(status.contains("`limits.memory`"), "{status}");
    drop(holding);
    freed(&mut victim);
    let growth = mebibytes(BOUND_MEBIBYTES) - victim.at_rest;
    victim.survived(growth);
}

/// The same, much faster than memory is read: what comes in on connections that are there already is refused too.
#[test]
fn memory_in_a_hurry() {
    let mut victim = Victim::with("head_time: 30s, head: 1MiB", BOUND);
    let (holding, _) = hold(&victim, 900_000, 400, Duration::ZERO);
    drop(holding);
    freed(&mut victim);
    assert!(victim.refused("memory-full") > 0);
    let growth = mebibytes(BOUND_MEBIBYTES) - victim.at_rest;
    victim.endured(growth);
}

const BOUND: &str = "limits: { memory: 128MiB }";
const BOUND_MEBIBYTES: u64 = 128;

/// Begins a head of so many bytes on so many connections, one after the other; those on which it was taken, and how many
/// were refused.
fn hold(victim: &Victim, bytes: usize, count: usize, pause: Duration) -> (Vec<TcpStream>, usize) {
    let head = [
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ".to_vec(),
        vec![b'y'; bytes],
    ]
    .concat();
    let mut holding = Vec::new();
    let mut refused = 0;
    for _ in 0..count {
        let mut stream = victim.connect();
        stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
        if stream.write_all(&head).is_ok() {
            holding.push(stream);
        } else {
            refused += 1;
        }
        std::thread::sleep(pause);
    }
    // Whoever was turned away has been told: the answer waits in its socket.
    holding.retain_mut(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut answer = [0; 12];
        let told = stream.read_exact(&mut answer).is_ok() && answer.ends_with(b"503");
        refused += usize::from(told);
        !told
    });
    (holding, refused)
}

/// Waits until memory is given back, and with it the right to come in.
fn freed(victim: &mut Victim) {
    while victim.plimsoll.wait_for_log("memory is freed")["level"] != "ample" {}
}
