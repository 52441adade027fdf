//! The log as its readers see it.

use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::reading::sample::event;

/// What is written goes to a channel.
struct Pipe(mpsc::Sender<Vec<u8>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the journal writes when it is used so.
async fn written(style: Style, level: Level, use_it: impl FnOnce(&Journal)) -> String {
    let (out, pipe) = mpsc::channel();
    let (journal, writer) = Journal::start(Env::real(), style, level, Pipe(out)).unwrap();
    use_it(&journal);
    drop(journal);
    tokio::task::spawn_blocking(|| writer.finish()).await.unwrap();
    String::from_utf8(pipe.iter().flatten().collect()).unwrap()
}

fn bad() -> Event {
    event(Class::Bad(Reason::UpstreamReset), 400)
}

#[tokio::test]
async fn a_request_is_one_json_object_with_everything_known() {
    let text = written(Style::Json, Level::Info, |journal| journal.request(&bad())).await;
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    let ts = line["ts"].as_str().unwrap();
    assert!(ts.len() == 24 && ts.ends_with('Z'), "{ts}");
    let expected = serde_json::json!({
        "ts": ts, "level": "warn", "msg": "request",
        "request_id": "req-1",
        "trace_id": "00000000000000000000000000000abc", "span_id": "0000000000000034",
        "listener": "ingress", "route": "pay", "tier": "gold", "upstream": "orders", "version": "stable",
        "priority": "normal", "method": "POST", "path": "/pay/42", "status": 502,
        "class": "bad", "reason": "upstream-reset", "cause": "connection reset by peer",
        "latency_ms": 400.0, "first_byte_ms": 400.0, "attempts": 3, "retry_stopped": "attempts",
        "client": "192.0.2.7",
    });
    assert_eq!(line, expected);
    assert!(text.starts_with("{\"ts\":") && text.ends_with("}\n") && text.lines().count() == 1);
}

#[tokio::test]
async fn a_request_that_was_hedged_says_so() {
    let mut event = bad();
    event.attempts[1].hedge = true;
    let text = written(Style::Text, Level::Info, |journal| journal.request(&event)).await;
    assert!(text.contains(" attempts=3 hedged=true "), "{text}");
}

#[tokio::test]
async fn what_does_not_apply_is_left_out() {
    let mut event = event(Class::Good, 3);
    (event.status, event.route, event.client) = (0, "-".into(), None);
    let text = written(Style::Json, Level::Info, |journal| journal.request(&event)).await;
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    for absent in [
        "hedged",
        "status",
        "grpc_status",
        "route",
        "reason",
        "cause",
        "retry_stopped",
        "client",
    ] {
        assert_eq!(line.get(absent), None, "{absent}");
    }
    assert_eq!(line["level"], "info");
}

#[tokio::test]
async fn text_cannot_command_a_terminal_or_begin_a_line() {
    let mut event = bad();
    event.path = "/\u{1b}[2Jx\n2026-01-01T00:00:00.000Z ERROR forged".into();
    let text = written(Style::Text, Level::Info, |journal| {
        journal.request(&event);
        journal.info(
            "listening",
            &[("address", "127.0.0.1:8080".into()), ("cores", 2u64.into())],
        );
    })
    .await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[0].contains(" warn  request request_id=req-1 "),
        "{}",
        lines[0]
    );
    assert!(lines[0].contains(r#"path="/\u{1b}[2Jx\n2026"#), "{}", lines[0]);
    assert!(
        lines[1].ends_with("info  listening address=127.0.0.1:8080 cores=2"),
        "{}",
        lines[1]
    );
}

#[tokio::test]
async fn json_survives_whatever_is_in_it() {
    let awkward = "a\"b\\c\nd\u{0}é 🚢";
    let text = written(Style::Json, Level::Info, |journal| {
        journal.info(awkward, &[("x", awkward.into())]);
    })
    .await;
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (line["msg"].as_str(), line["x"].as_str()),
        (Some(awkward), Some(awkward))
    );
}

#[tokio::test]
async fn lines_below_the_level_are_not_written() {
    let text = written(Style::Text, Level::Warn, |journal| {
        journal.log(Level::Debug, "a", &[]);
        journal.info("b", &[]);
        journal.request(&event(Class::Good, 1));
        journal.warn("c", &[]);
        journal.error("d", &[]);
    })
    .await;
    assert_eq!(text.lines().count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_told_in_few_lines_and_a_count() {
    let (journal, lines) = unread();
    for _ in 0..5000 {
        journal.request(&bad());
    }
    tokio::time::advance(Duration::from_secs(1)).await;
    journal.tick();
    let lines: Vec<_> = lines.try_iter().collect();
    assert_eq!(lines.len(), 51);
    assert!(
        lines[50].contains(r#""reason":"upstream-reset","count":4950}"#),
        "{}",
        lines[50]
    );
    assert_eq!(journal.suppressed(), 4950);
}

#[tokio::test]
async fn a_log_that_nobody_reads_costs_lines_and_says_so_later() {
    let (journal, lines) = unread();
    for _ in 0..QUEUE + 7 {
        journal.info("x", &[]);
    }
    assert_eq!(journal.dropped(), 7);
    journal.tick();
    assert_eq!(
        journal.dropped(),
        8,
        "the line that tells of it did not fit either"
    );
    assert_eq!(lines.try_iter().count(), QUEUE);
    journal.tick();
    journal.tick();
    let told: Vec<_> = lines.try_iter().collect();
    assert_eq!(told.len(), 1, "once");
    assert!(told[0].contains("dropped"), "{}", told[0]);
}

/// A journal whose lines wait in the queue.
fn unread() -> (Journal, Receiver<String>) {
    let (queue, lines) = sync_channel(QUEUE);
    (Journal::onto(queue, Env::real(), Style::Json, Level::Info), lines)
}
