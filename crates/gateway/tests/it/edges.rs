//! Where messages meet on a connection: early, late, cut off, and more than was asked for.

use tokio::io::AsyncWriteExt;

use crate::origin::{Origin, full};
use crate::world::World;

/// A caller may send on after a request that closes: what it sends is not read, and must not cost it the answer.
#[tokio::test]
async fn an_answer_that_closes_is_not_lost_to_what_came_behind_its_request() {
    let origin = Origin::answering(|_| http::Response::new(full(vec![b'a'; 1 << 20]))).await;
    let world = World::of(&[&origin]).start().await;
    let mut wire = world.wire().await;
    let mut pipeline = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec();
    pipeline.extend(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20_000));
    wire.send(&pipeline).await;
    let answer = wire.answer().await;
    assert!(
        answer.whole && answer.body.len() == 1 << 20,
        "{} bytes",
        answer.body.len()
    );
    assert_eq!(wire.closed().await, "");
}

/// Requests that nobody waits for the answers of.
#[tokio::test]
async fn ten_thousand_requests_in_one_breath_are_answered_in_their_order() {
    let origin = Origin::answering(|seen| http::Response::new(full(seen.head.uri.path().to_owned()))).await;
    let world = World::of(&[&origin]).start().await;
    let wire = world.wire().await;
    let (_, stream) = wire.into_parts();
    let (read, mut write) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        let mut all = Vec::new();
        for number in 0..10_000 {
            all.extend(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes());
        }
        write.write_all(&all).await.unwrap();
        write
    });
    let joined = tokio::io::join(read, tokio::io::sink());
    let mut wire = crate::client::Wire::over(Box::new(joined));
    for number in 0..10_000 {
        assert_eq!(wire.answer().await.text(), format!("/{number}"));
    }
    drop(sending.await.unwrap());
    assert_eq!(origin.connections(), 1);
}
