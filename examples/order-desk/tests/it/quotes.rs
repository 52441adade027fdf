//! The stream of quotes.

use crate::world::World;

#[tokio::test]
async fn a_stream_sends_its_events_and_ends() {
    let world = World::new().await;
    let stream = world.get("/v1/quotes/stream?underlying=ACME").await;
    assert_eq!(
        (stream.status, stream.header("content-type")),
        (200, Some("text/event-stream"))
    );
    let fields = |name: &str| -> Vec<&str> {
        stream
            .text
            .lines()
            .filter_map(|line| line.strip_prefix(name))
            .collect()
    };
    assert_eq!(fields("id: "), ["1", "2", "3"]);
    assert_eq!(fields("event: "), ["quote", "quote", "quote"]);
    for data in fields("data: ") {
        let quote: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(quote["underlying"], "ACME");
        assert!(quote["bid"].is_string() && quote["ask"].is_string(), "{quote}");
    }
    // Everybody sees the same market.
    let again = world.get("/v1/quotes/stream?underlying=ACME").await;
    assert_eq!(again.text, stream.text);
}
