//! Pages, and what they are made of.

use super::*;

#[tokio::test]
async fn the_pages_are_there() {
    let (address, _) = start(Fake::default()).await;
    for (line, more, content_type, holds) in [
        ("GET /livez", "", "text/plain", "alive"),
        ("GET /readyz", "", "text/plain", "ready"),
        (
            "GET /readyz",
            "Accept: application/json\r\n",
            "application/json",
            "\"ready\": true",
        ),
        ("GET /status", "", "application/json", "\"state\": \"serving\""),
        (
            "GET /status",
            "User-Agent: curl/8\r\nAccept: */*\r\n",
            "text/plain",
            "latest bad of pay, gold",
        ),
        (
            "GET /status?text",
            "",
            "text/plain",
            "! The breaker of orders is tripped",
        ),
        (
            "GET /status",
            "Accept: text/html,application/xml;q=0.9,*/*;q=0.8\r\n",
            "text/html",
            "<h1",
        ),
        (
            "GET /status?every=5",
            "Accept: text/html\r\n",
            "text/html",
            "content=\"5\"",
        ),
        (
            "GET /metrics",
            "",
            "text/plain; version=0.0.4",
            "plimsoll_requests_total{",
        ),
        (
            "GET /metrics",
            "Accept: application/openmetrics-text;version=1.0.0\r\n",
            "application/openmetrics-text",
            "# EOF",
        ),
        (
            "GET /reasons/breaker-tripped",
            "",
            "application/json",
            "\"status\": 503",
        ),
        (
            "GET /reasons/breaker-tripped?text",
            "",
            "text/plain",
            "blame      upstream",
        ),
        ("GET /reasons", "", "application/json", "unknown-route"),
    ] {
        let (status, head, body) = ask(address, line, more).await;
        assert_eq!(status, 200, "{line}: {body}");
        assert!(
            head.contains(&format!("content-type: {content_type}")),
            "{line}: {head}"
        );
        assert!(body.contains(holds), "{line}: {body}");
        assert!(
            head.contains("cache-control: no-store") && head.contains("default-src 'none'"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn alerts_lead_to_pages() {
    let (address, _) = start(Fake::default()).await;
    for (line, more, content_type, holds) in [
        (
            "GET /incidents",
            "Accept: text/html\r\n",
            "text/html",
            "No incident is open",
        ),
        ("GET /objectives/checkout", "", "text/plain", "checkout pages"),
        (
            "GET /objectives/checkout",
            "Accept: text/html\r\n",
            "text/html",
            "<h1 class=\"attention\"><span aria-hidden=\"true\">▲</span> checkout pages</h1>",
        ),
    ] {
        let (status, head, body) = ask(address, line, more).await;
        assert_eq!(status, 200, "{line}: {body}");
        assert!(
            head.contains(&format!("content-type: {content_type}")) && body.contains(holds),
            "{line}: {body}"
        );
    }
}

#[tokio::test]
async fn files_of_pages_are_kept_and_small_on_the_way() {
    let (address, _) = start(Fake::default()).await;
    let (_, head, page) = ask(address, "GET /objectives/checkout?html", "").await;
    assert!(
        head.contains("cache-control: no-store") && !head.contains("content-encoding"),
        "{head}"
    );
    let mut files: Vec<&str> = page
        .split('"')
        .filter(|text| text.starts_with("/assets/"))
        .collect();
    files.dedup();
    assert_eq!(files.len(), 4, "{page}");
    let length = |head: &str| -> usize {
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        length.unwrap().parse().unwrap()
    };
    let (_, head, _) = ask_raw(
        address,
        "GET /objectives/checkout?html",
        "Accept-Encoding: gzip\r\n",
    )
    .await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut bytes = length(&head);
    for file in files {
        let (status, head, _) =
            ask_raw(address, &format!("GET {file}"), "Accept-Encoding: br, gzip\r\n").await;
        assert!(
            status == 200 && head.contains("max-age=31536000, immutable"),
            "{file}: {head}"
        );
        bytes += length(&head);
    }
    // All that the largest page takes, with nothing kept from before.
    assert!(bytes <= 60_000, "{bytes}");
    // What is squeezed tells by its length what is in it, and a session's secret may be.
    let (_, head, _) = ask_raw(address, "GET /?html", "Accept-Encoding: gzip\r\nCookie: a=b\r\n").await;
    assert!(!head.contains("content-encoding"), "{head}");
    assert_eq!(
        ask(address, "GET /assets/dashboard-000000000000.css", "").await.0,
        404
    );
}
